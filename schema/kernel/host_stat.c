/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/kernel/host_stat.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"

#define TICKS_MIN 4 /* kernels before 2.6 knew no more */
#define LOAD_MAX  1e6

enum tick { IDLE = 3, IOWAIT = 4 };

static const char *next_line(const char *text)
{
    const char *end = strchr(text, '\n');
    return end ? end + 1 : text + strlen(text);
}

/* Skips blanks and reads digits; NULL where there are none or too many. */
static const char *take_number(const char *text, uint64_t *ret)
{
    char *end;
    text += strspn(text, " ");
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 19)
        return NULL;
    *ret = strtoull(text, &end, 10);
    return end;
}

static int count_processors(const char *text)
{
    int count = 0;
    for (; *text; text = next_line(text))
        count += strncmp(text, "cpu", 3) == 0 && isdigit((unsigned char)text[3]);
    return count;
}

bool cpu_times_parse(const char *text, struct cpu_times *ret)
{
    struct cpu_times times = {.count = count_processors(text)};
    size_t found = 0;
    if (strncmp(text, "cpu ", 4) != 0 || times.count == 0)
        return false;
    const char *rest = text + 4;
    while (found < CPU_TICKS && (rest = take_number(rest, &times.ticks[found])))
        found++;
    if (found < TICKS_MIN)
        return false;
    *ret = times;
    return true;
}

/* iowait is known to go back now and then. */
static uint64_t increase(const struct cpu_times *from, const struct cpu_times *to, size_t i)
{
    return to->ticks[i] > from->ticks[i] ? to->ticks[i] - from->ticks[i] : 0;
}

int cpu_times_busy(const struct cpu_times *from, const struct cpu_times *to)
{
    double busy = 0, total = 0;
    for (size_t i = 0; i < CPU_TICKS; i++) {
        double ticks = (double)increase(from, to, i);
        busy += i == IDLE || i == IOWAIT ? 0 : ticks;
        total += ticks;
    }
    return total > 0 ? (int)(busy / total * 1000 + 0.5) : -1;
}

/* Takes a decimal fraction and the blank after it; NULL where there is none. */
static const char *take_load(const char *text, double *ret)
{
    char *end;
    size_t length = strspn(text, "0123456789.");
    if (length == 0 || text[length] != ' ')
        return NULL;
    *ret = strtod(text, &end);
    return end == text + length && *ret < LOAD_MAX ? end + 1 : NULL;
}

bool load_parse(const char *text, double ret[static 3])
{
    double load[3];
    for (size_t i = 0; i < ARRAY_SIZE(load); i++) {
        text = take_load(text, &load[i]);
        if (!text)
            return false;
    }
    memcpy(ret, load, sizeof load);
    return true;
}

/* "KEY:      123 kB" in bytes, from whichever line it stands in. */
static int64_t find_figure(const char *text, const char *key)
{
    size_t length = strlen(key);
    uint64_t number;
    while (*text && (strncmp(text, key, length) != 0 || text[length] != ':'))
        text = next_line(text);
    const char *unit = *text ? take_number(text + length + 1, &number) : NULL;
    if (!unit || strncmp(unit, " kB", 3) != 0 || number > INT64_MAX / 1024)
        return -1;
    return (int64_t)number * 1024;
}

struct memory_figures memory_parse(const char *text)
{
    return (struct memory_figures){
        .total = find_figure(text, "MemTotal"),
        .available = find_figure(text, "MemAvailable"),
        .swap_total = find_figure(text, "SwapTotal"),
        .swap_free = find_figure(text, "SwapFree"),
    };
}

int64_t uptime_parse(const char *text)
{
    uint64_t seconds;
    const char *rest = take_number(text, &seconds);
    return rest && *rest == '.' && seconds <= INT64_MAX ? (int64_t)seconds : -1;
}
