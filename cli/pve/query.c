/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pve/query.h"

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"

#define FIXED_ARGUMENTS 5
#define OPTIONS_MAX     8

int pve_query(const char *path, const char *const *options, struct pve_limits limits, json_t **ret,
              struct error *error)
{
    cleanup_buffer struct buffer output = BUFFER_EMPTY;
    const char *argv[FIXED_ARGUMENTS + OPTIONS_MAX + 1] = {
        PVE_COMMAND_API, "get", path, "--output-format", "json",
    };
    for (size_t i = 0; i < OPTIONS_MAX && options[i]; i++)
        argv[FIXED_ARGUMENTS + i] = options[i];
    const struct pve_command command = {argv, &output, limits};
    if (pve_command_run_as(&command, error) < 0)
        return fail_context(error, "cannot ask Proxmox for %.150s", path);
    if (json_read(buffer_text(&output), output.length, ret, error) < 0)
        return fail_context(error, "Proxmox's answer for %.150s", path);
    return 0;
}

int pve_query_content(const char *storage, const char *content, uint32_t vmid,
                      struct pve_limits limits, json_t **ret, struct error *error)
{
    cleanup_json json_t *list = NULL;
    cleanup_free char *path = mem_format("/nodes/localhost/storage/%s/content", storage);
    cleanup_free char *number = mem_format("%u", vmid);
    const char *const options[] = {
        "--vmid", number, content ? "--content" : NULL, content, NULL,
    };
    if (pve_query(path, options, limits, &list, error) < 0)
        return -1;
    if (!json_is_array(list))
        return fail(error, ERROR_INVALID, "Proxmox's answer for %s is not a list", path);
    *ret = steal(list);
    return 0;
}
