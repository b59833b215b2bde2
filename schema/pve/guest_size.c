/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/guest_size.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS "0123456789"

static bool unit_parse(const char *text, long double *ret)
{
    static const char letters[] = "KMGT";
    if (!*text) {
        *ret = 1;
        return true;
    }
    const char *letter = strchr(letters, *text);
    if (!letter || (text[1] && strcmp(text + 1, "iB") != 0))
        return false;
    *ret = (long double)(1ULL << (10 * (letter - letters + 1)));
    return true;
}

/* Like Proxmox: an integer is exact as long as 64 bits hold it, everything else is a double. */
static long double number_value(const char *text, bool integer)
{
    errno = 0;
    uint64_t exact = strtoull(text, NULL, 10);
    return integer && errno == 0 ? (long double)exact : (long double)strtod(text, NULL);
}

bool guest_size_parse(const char *text, long double *ret)
{
    size_t whole = strspn(text, DIGITS);
    const char *end = text + whole;
    size_t fraction = *end == '.' ? strspn(end + 1, DIGITS) : 0;
    if (fraction > 0)
        end += 1 + fraction;
    long double unit;
    if (whole == 0 || !unit_parse(end, &unit))
        return false;
    long double bytes = number_value(text, fraction == 0) * unit;
    *ret =
        bytes > (long double)UINT64_MAX ? (long double)(double)bytes : (long double)(uint64_t)bytes;
    return true;
}
