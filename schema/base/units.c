/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/units.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"

/* Ten digits are enough for a century in seconds, and cannot overflow a uint64_t. */
#define DIGITS_MAX 10

static const struct {
    char letter;
    uint64_t ms;
} units[] = {
    {'s', SECOND_MS},
    {'m', MINUTE_MS},
    {'h', HOUR_MS},
    {'d', DAY_MS},
};

static uint64_t unit_ms(const char *text)
{
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (text[0] == units[i].letter && !text[1])
            return units[i].ms;
    return 0;
}

bool duration_parse(const char *text, uint64_t *ret_ms)
{
    size_t digits = strspn(text, DIGITS);
    uint64_t unit = strcmp(text, "0") ? unit_ms(text + digits) : (uint64_t)SECOND_MS;
    if (!digits || digits > DIGITS_MAX || !unit)
        return false;
    uint64_t count = strtoull(text, NULL, 10);
    if (count > (uint64_t)CENTURY_MS / unit)
        return false;
    *ret_ms = count * unit;
    return true;
}

char *duration_format(uint64_t ms)
{
    uint64_t seconds = ms / SECOND_MS;
    for (size_t i = ARRAY_SIZE(units); seconds > 0 && i-- > 0;)
        if (seconds * SECOND_MS % units[i].ms == 0)
            return mem_format("%" PRIu64 "%c", seconds * SECOND_MS / units[i].ms, units[i].letter);
    return mem_copy_text("0");
}
