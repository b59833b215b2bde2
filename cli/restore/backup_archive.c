/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/restore/backup_archive.h"

#include <string.h>

#include "cli/pve/query.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"

/* Proxmox says the kind only where the archive's name does. */
static bool is_of(const json_t *item, enum guest_kind kind, uint32_t vmid)
{
    const char *name = guest_kind_name(kind);
    return strcmp(json_get_text(item, "content", ""), "backup") == 0 &&
           strcmp(json_get_text(item, "subtype", name), name) == 0 &&
           json_get_int(item, "vmid", 0) == (json_int_t)vmid && *json_get_text(item, "volid", "");
}

static bool is_newer(const json_t *item, const json_t *than)
{
    return !than || json_get_int(item, "ctime", 0) > json_get_int(than, "ctime", 0);
}

int backup_archive_newest(const char *storage, enum guest_kind kind, uint32_t vmid,
                          struct pve_limits limits, char **ret, struct error *error)
{
    cleanup_json json_t *content = NULL;
    const json_t *newest = NULL;
    if (pve_query_content(storage, "backup", vmid, limits, &content, error) < 0)
        return -1;
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *item = json_array_get(content, i);
        if (is_of(item, kind, vmid) && is_newer(item, newest))
            newest = item;
    }
    if (!newest)
        return fail(error, ERROR_MISSING, "there is no backup of guest %u on %s", vmid, storage);
    *ret = mem_copy_text(json_get_text(newest, "volid", ""));
    return 0;
}
