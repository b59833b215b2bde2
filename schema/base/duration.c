/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "schema/agent/config.h"
#include "schema/base/cleanup.h"

#define SECOND_MS  UINT64_C(1000)
#define MINUTE_MS  (SECOND_MS * 60)
#define HOUR_MS    (MINUTE_MS * 60)
#define DAY_MS     (HOUR_MS * 24)
#define CENTURY_MS (DAY_MS * 365 * 100)

/* No more are needed for a century in seconds, and that many cannot overflow. */
#define DIGITS_LIMIT 10

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
    size_t digits = strspn(text, "0123456789");
    uint64_t unit = strcmp(text, "0") ? unit_ms(text + digits) : SECOND_MS;
    uint64_t count = 0;
    if (!digits || digits > DIGITS_LIMIT || !unit)
        return false;
    for (size_t i = 0; i < digits; i++)
        count = count * 10 + (uint64_t)(text[i] - '0');
    if (count > CENTURY_MS / unit)
        return false;
    *ret_ms = count * unit;
    return true;
}
