/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/base/vmids.h"

#include <stdlib.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

void vmids_free(struct vmids *vmids)
{
    free(vmids->items);
    *vmids = (struct vmids){0};
}

void vmids_add(struct vmids *vmids, uint32_t vmid)
{
    vmids->items = mem_resize(vmids->items, vmids->count + 1, sizeof *vmids->items);
    vmids->items[vmids->count++] = vmid;
}

bool vmids_has(const struct vmids *vmids, uint32_t vmid)
{
    for (size_t i = 0; i < vmids->count; i++)
        if (vmids->items[i] == vmid)
            return true;
    return false;
}

int vmids_keep(const struct guest *guest, void *vmids)
{
    vmids_add(vmids, guest->vmid);
    return 0;
}

int vmids_fail(const struct vmids *failed, const char *what, struct error *error)
{
    cleanup_buffer struct buffer list = BUFFER_EMPTY;
    if (failed->count == 0)
        return 0;
    for (size_t i = 0; i < failed->count; i++)
        buffer_add_format(&list, "%s%u", i ? ", " : "", failed->items[i]);
    return fail(error, ERROR_CONFLICT, "%s: guest%s %s", what, failed->count == 1 ? "" : "s",
                buffer_text(&list));
}
