/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/hwaddr.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The byte that two hexadecimal digits stand for, -1 for anything else. */
static int hex_byte(const char *text)
{
    int high = hex_digit(text[0]);
    int low = high < 0 ? -1 : hex_digit(text[1]);
    return low < 0 ? -1 : high * 16 + low;
}

bool hwaddr_parse(const char *text, struct hwaddr *ret)
{
    struct hwaddr hwaddr;
    for (size_t i = 0; i < sizeof hwaddr.bytes; i++, text += 3) {
        int byte = hex_byte(text);
        bool last = i == sizeof hwaddr.bytes - 1;
        if (byte < 0 || text[2] != (last ? '\0' : ':'))
            return false;
        hwaddr.bytes[i] = (uint8_t)byte;
    }
    *ret = hwaddr;
    return true;
}

void hwaddr_format(const struct hwaddr *hwaddr, char ret[static HWADDR_TEXT_SIZE])
{
    const uint8_t *b = hwaddr->bytes;
    (void)snprintf(ret, HWADDR_TEXT_SIZE, "%02X:%02X:%02X:%02X:%02X:%02X", b[0], b[1], b[2], b[3],
                   b[4], b[5]);
}

bool hwaddr_equal(const struct hwaddr *a, const struct hwaddr *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
