/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/host/figures.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"

#define TICKS_MIN 4 /* Linux before 2.6 has no more */
#define LOAD_MAX  1e6

enum tick { IDLE = 3, IOWAIT = 4 };

static const char *next_line(const char *text)
{
    const char *end = strchr(text, '\n');
    return end ? end + 1 : text + strlen(text);
}

/* Skips blanks and reads digits. Returns what follows them; NULL if there are no digits or more
 * than 19. */
static const char *take_number(const char *text, uint64_t *ret)
{
    char *end;
    text += strspn(text, " ");
    size_t digits = strspn(text, DIGITS);
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

/* The kernel's iowait counter can decrease, so a negative difference counts as 0. */
static uint64_t ticks_increase(const struct cpu_times *from, const struct cpu_times *to, size_t i)
{
    return to->ticks[i] > from->ticks[i] ? to->ticks[i] - from->ticks[i] : 0;
}

int cpu_times_busy(const struct cpu_times *from, const struct cpu_times *to)
{
    double busy = 0, total = 0;
    for (size_t i = 0; i < CPU_TICKS; i++) {
        double ticks = (double)ticks_increase(from, to, i);
        busy += i == IDLE || i == IOWAIT ? 0 : ticks;
        total += ticks;
    }
    return total > 0 ? (int)(busy / total * 1000 + 0.5) : -1;
}

/* Reads a decimal fraction and the blank after it. Returns what follows; NULL if the text is
 * anything else. */
static const char *take_load(const char *text, double *ret)
{
    char *end;
    size_t length = strspn(text, DIGITS ".");
    if (length == 0 || text[length] != ' ')
        return NULL;
    *ret = strtod(text, &end);
    return end == text + length && *ret < LOAD_MAX ? end + 1 : NULL;
}

bool loadavg_parse(const char *text, double ret[static 3])
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

/* Finds the line "KEY: 123 kB" and returns its number in bytes; -1 if there is none. */
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

struct memory_figures meminfo_parse(const char *text)
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

#define NUMBER_SIZE 32
#define NUMBER_MAX  9e18                  /* below INT64_MAX */
#define TIME_MAX    INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

/* Only the version in the name is expected to change. */
static bool is_storage_kind(const struct slice *kind)
{
    return slice_equals(*kind, "pve2-storage") || slice_starts(*kind, "pve-storage-");
}

static bool is_storage_name(const struct slice *name)
{
    return name->length > 0 && slice_span(*name, ALNUM "-_.") == name->length;
}

/* Returns -1 for anything that is not a number, such as U (unknown). Perl writes large numbers as
 * 1.5e+15. */
static int64_t rrd_number(struct slice digits)
{
    char text[NUMBER_SIZE];
    char *end;
    if (digits.length >= sizeof text || slice_span(digits, DIGITS) == 0 ||
        slice_span(digits, DIGITS ".e+") != digits.length)
        return -1;
    memcpy(text, digits.text, digits.length);
    text[digits.length] = '\0';
    double number = strtod(text, &end);
    return *end == '\0' && number < NUMBER_MAX ? (int64_t)number : -1;
}

static bool rrd_line_parse(struct slice line, const char *node, struct rrd_storage *ret)
{
    struct slice kind = slice_take(&line, '/');
    struct slice owner = slice_take(&line, '/');
    struct slice name = slice_take(&line, ':');
    struct slice time = slice_take(&line, ':');
    const int64_t at = rrd_number(time);
    struct slice total = slice_take(&line, ':');
    struct slice used = slice_take(&line, ':');
    if (!is_storage_kind(&kind) || !slice_equals(owner, node) || !is_storage_name(&name) ||
        at <= 0 || at > TIME_MAX)
        return false;
    *ret = (struct rrd_storage){
        .storage = mem_copy_text_n(name.text, name.length),
        .at = at,
        .total_bytes = rrd_number(total),
        .used_bytes = rrd_number(used),
    };
    return true;
}

/* Sorts by name; among equal names, the newest comes first. */
static int compare_storages(const void *left, const void *right)
{
    const struct rrd_storage *a = left, *b = right;
    int order = strcmp(a->storage, b->storage);
    return order ? order : (a->at < b->at) - (a->at > b->at);
}

static void keep_newest(struct rrd_storages *storages)
{
    size_t kept = 0;
    for (size_t i = 0; i < storages->count; i++) {
        struct rrd_storage *item = &storages->items[i];
        if (kept > 0 && strcmp(storages->items[kept - 1].storage, item->storage) == 0)
            free(item->storage);
        else
            storages->items[kept++] = *item;
    }
    storages->count = kept;
}

void rrd_dump_storages(const char *text, size_t length, const char *node, struct rrd_storages *ret)
{
    struct slice rest = {text, length};
    struct rrd_storage storage;
    *ret = (struct rrd_storages){0};
    while (rest.length > 0) {
        if (!rrd_line_parse(slice_take(&rest, '\n'), node, &storage))
            continue;
        ret->items = mem_resize(ret->items, ret->count + 1, sizeof *ret->items);
        ret->items[ret->count++] = storage;
    }
    if (ret->count > 0)
        qsort(ret->items, ret->count, sizeof *ret->items, compare_storages);
    keep_newest(ret);
}

void rrd_storages_free(struct rrd_storages *storages)
{
    for (size_t i = 0; i < storages->count; i++)
        free(storages->items[i].storage);
    free(storages->items);
    *storages = (struct rrd_storages){0};
}
