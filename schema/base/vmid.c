/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/vmid.h"

#include <stdlib.h>

#include "schema/base/memory.h"
#include "schema/base/text.h"

bool vmid_parse(const char *text, uint32_t *ret)
{
    uint64_t number;
    if (!text_number(text, VMID_MAX, &number) || number < VMID_MIN)
        return false;
    *ret = (uint32_t)number;
    return true;
}

void vmids_free(struct vmids *vmids)
{
    free(vmids->items);
    *vmids = (struct vmids){0};
}

void vmids_add(struct vmids *vmids, uint32_t vmid)
{
    vmids->items = mem_grow(vmids->items, vmids->count, sizeof *vmids->items);
    vmids->items[vmids->count++] = vmid;
}

bool vmids_has(const struct vmids *vmids, uint32_t vmid)
{
    for (size_t i = 0; i < vmids->count; i++)
        if (vmids->items[i] == vmid)
            return true;
    return false;
}

int vmid_compare(const void *one, const void *other)
{
    uint32_t left = *(const uint32_t *)one;
    uint32_t right = *(const uint32_t *)other;
    return (left > right) - (left < right);
}

void vmids_sort(struct vmids *vmids)
{
    if (vmids->count > 1) /* qsort takes no NULL */
        qsort(vmids->items, vmids->count, sizeof *vmids->items, vmid_compare);
}
