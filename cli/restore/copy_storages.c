/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/restore/copy_storages.h"

#include <stdlib.h>
#include <string.h>

#include "cli/pve/query.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"

static void add(struct copy_storages *storages, const char *name)
{
    for (size_t i = 0; i < storages->count; i++)
        if (strcmp(storages->names[i], name) == 0)
            return;
    storages->names = mem_resize(storages->names, storages->count + 1, sizeof *storages->names);
    storages->names[storages->count++] = mem_copy_text(name);
}

static void add_of_volumes(struct copy_storages *storages, const struct guest_config *original)
{
    for (size_t i = 0; i < original->volume_count; i++)
        if (original->volumes[i].kind == VOLUME_STORAGE)
            add(storages, original->volumes[i].storage);
}

static const char *storage_of_root(const struct guest_config *original)
{
    const struct volume *root = guest_config_volume(original, "rootfs");
    return root && root->kind == VOLUME_STORAGE ? root->storage : NULL;
}

void copy_storages_find(const struct config *config, const struct guest_config *original,
                        struct copy_storages *ret)
{
    *ret = (struct copy_storages){NULL, 0, NULL};
    const char *wanted = config->restore_test.storage;
    if (*wanted == '\0')
        wanted = original->kind == GUEST_LXC ? storage_of_root(original) : NULL;
    if (wanted)
        add(ret, wanted);
    else
        add_of_volumes(ret, original);
    ret->wanted = wanted ? ret->names[0] : NULL;
}

void copy_storages_free(struct copy_storages *storages)
{
    for (size_t i = 0; i < storages->count; i++)
        free(storages->names[i]);
    free(storages->names);
    *storages = (struct copy_storages){NULL, 0, NULL};
}

/* Backups of a guest that had the VMID once are none of it. */
static bool is_disk(const json_t *item)
{
    const char *content = json_get_text(item, "content", "");
    return strcmp(content, "images") == 0 || strcmp(content, "rootdir") == 0;
}

int copy_storages_used(const struct copy_storages *storages, uint32_t vmid,
                       struct pve_limits limits, bool *ret, struct error *error)
{
    bool used = false;
    for (size_t i = 0; i < storages->count; i++) {
        cleanup_json json_t *content = NULL;
        if (pve_query_content(storages->names[i], NULL, vmid, limits, &content, error) < 0)
            return -1;
        for (size_t j = 0; j < json_array_size(content); j++)
            used = used || is_disk(json_array_get(content, j));
    }
    *ret = used;
    return 0;
}

static int free_disk(const json_t *item, int64_t since_ms, struct error *error)
{
    json_int_t since = since_ms / 1000;
    const char *const argv[] = {
        PVE_COMMAND_STORAGE,
        "free",
        json_get_text(item, "volid", ""),
        NULL,
    };
    if (!is_disk(item) || json_get_int(item, "ctime", since) < since)
        return 0;
    return pve_command_run(argv, error);
}

static int clear_storage(const char *storage, uint32_t vmid, int64_t since_ms, struct error *error)
{
    cleanup_json json_t *content = NULL;
    if (pve_query_content(storage, NULL, vmid, PVE_NO_LIMITS, &content, error) < 0)
        return -1;
    for (size_t i = 0; i < json_array_size(content); i++)
        if (free_disk(json_array_get(content, i), since_ms, error) < 0)
            return -1;
    return 0;
}

int copy_storages_clear(const struct copy_storages *storages, uint32_t vmid, int64_t since_ms,
                        struct error *error)
{
    for (size_t i = 0; i < storages->count; i++)
        if (clear_storage(storages->names[i], vmid, since_ms, error) < 0)
            return -1;
    return 0;
}
