/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a guest's configuration, of either kind, and back as JSON; and as the files of LXC
 * that one may name. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/pve/guest_config.h"
#include "schema/pve/lxc_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_line(const char *key, const char *value)
{
    cleanup_lxc_paths struct lxc_paths paths = {NULL, 0};
    free(lxc_mount_entry_source(value));
    lxc_line_paths(key, value, &paths);
    for (size_t i = 0; i < paths.count; i++)
        if (paths.items[i].path[0] != '/')
            abort();
}

/* The text ends at its first NUL: a file with one is refused before. */
static void read_as_lxc(const char *text, size_t length)
{
    cleanup_free char *copy = mem_copy_text_n(text, strnlen(text, length));
    char *rest = copy;
    for (char *line; (line = strsep(&rest, "\n"));) {
        cleanup_lxc_paths struct lxc_paths paths = {NULL, 0};
        char *key;
        char *value;
        lxc_fstab_paths(line, &paths);
        if (lxc_line_read(line, &key, &value))
            read_line(key, value);
    }
}

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
    for (size_t i = 0; i < config.raw_count; i++)
        read_line(config.raw[i].key, config.raw[i].value);
    json_decref(guest_config_to_json(&config));
    guest_config_free(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = size > 0 ? (const char *)data : "";
    read_as(GUEST_LXC, text, size);
    read_as(GUEST_QEMU, text, size);
    read_as_lxc(text, size);
    return 0;
}
