/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/vmid.h"

#include "schema/base/text.h"

bool vmid_parse(const char *text, uint32_t *ret)
{
    uint64_t number;
    if (!text_number(text, VMID_MAX, &number) || number < VMID_MIN)
        return false;
    *ret = (uint32_t)number;
    return true;
}
