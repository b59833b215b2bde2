/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/vmid.h"

#include <string.h>

#include "schema/base/text.h"

#define VMID_DIGITS_MIN 3
#define VMID_DIGITS_MAX 9

bool vmid_parse(const char *text, uint32_t *ret)
{
    size_t digits = strspn(text, DIGITS);
    if (text[digits] || digits < VMID_DIGITS_MIN || digits > VMID_DIGITS_MAX || text[0] == '0')
        return false;
    uint32_t vmid = 0;
    for (const char *c = text; *c; c++)
        vmid = vmid * 10 + (uint32_t)(*c - '0');
    *ret = vmid;
    return true;
}
