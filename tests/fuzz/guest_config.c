/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a guest's configuration, of either kind, and back as JSON. */
#include <jansson.h>

#include "schema/pve/guest_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_as(enum guest_kind kind, const char *text, size_t length)
{
    struct guest_config config;
    struct error error;
    if (guest_config_parse(kind, text, length, &config, &error) < 0)
        return;
    uint32_t uid;
    uint32_t gid;
    for (size_t i = 0; i < config.volume_count; i++)
        guest_config_disk_ids(&config, config.volumes[i].idmap, &uid, &gid);
    json_decref(guest_config_to_json(&config));
    guest_config_free(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = size > 0 ? (const char *)data : "";
    read_as(GUEST_LXC, text, size);
    read_as(GUEST_QEMU, text, size);
    return 0;
}
