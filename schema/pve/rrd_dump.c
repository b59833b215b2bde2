/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/rrd_dump.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"

#define NUMBER_SIZE 32
#define NUMBER_MAX  9e18                  /* below INT64_MAX */
#define TIME_MAX    INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

/* A part of the text, not ended by a NUL. */
struct span {
    const char *text;
    size_t length;
};

/* Takes what stands before the mark off the front, or all there is where the mark is missing. */
static struct span take_to(struct span *rest, char mark)
{
    const char *at = rest->length > 0 ? memchr(rest->text, mark, rest->length) : NULL;
    struct span taken = {rest->text, at ? (size_t)(at - rest->text) : rest->length};
    size_t skipped = taken.length + (at ? 1 : 0);
    rest->text += skipped;
    rest->length -= skipped;
    return taken;
}

static bool span_is(const struct span *span, const char *text)
{
    return span->length == strlen(text) && memcmp(span->text, text, span->length) == 0;
}

static bool span_begins(const struct span *span, const char *text)
{
    return span->length >= strlen(text) && memcmp(span->text, text, strlen(text)) == 0;
}

/* Only the version in it is expected to change. */
static bool is_storage_kind(const struct span *kind)
{
    return span_is(kind, "pve2-storage") || span_begins(kind, "pve-storage-");
}

static bool is_storage_name(const struct span *name)
{
    static const char characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789-_.";
    for (size_t i = 0; i < name->length; i++) {
        if (!memchr(characters, name->text[i], sizeof characters - 1))
            return false;
    }
    return name->length > 0;
}

/* -1 for what is no number, as U (not known) is none. Perl writes large ones as 1.5e+15. */
static int64_t number_of(const struct span *span)
{
    char text[NUMBER_SIZE];
    char *end;
    if (span->length == 0 || span->length >= sizeof text)
        return -1;
    memcpy(text, span->text, span->length);
    text[span->length] = '\0';
    if (text[0] < '0' || text[0] > '9' || strspn(text, "0123456789.e+") != span->length)
        return -1;
    double number = strtod(text, &end);
    return *end == '\0' && number < NUMBER_MAX ? (int64_t)number : -1;
}

static bool parse_line(struct span line, const char *node, struct rrd_storage *ret)
{
    struct span kind = take_to(&line, '/');
    struct span owner = take_to(&line, '/');
    struct span name = take_to(&line, ':');
    struct span time = take_to(&line, ':');
    const int64_t at = number_of(&time);
    struct span total = take_to(&line, ':');
    struct span used = take_to(&line, ':');
    if (!is_storage_kind(&kind) || !span_is(&owner, node) || !is_storage_name(&name) || at <= 0 ||
        at > TIME_MAX)
        return false;
    *ret = (struct rrd_storage){
        .storage = mem_copy_text_n(name.text, name.length),
        .at = at,
        .total_bytes = number_of(&total),
        .used_bytes = number_of(&used),
    };
    return true;
}

/* By name, the newest of each first. */
static int compare(const void *left, const void *right)
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
    struct span rest = {text, length};
    struct rrd_storage storage;
    *ret = (struct rrd_storages){0};
    while (rest.length > 0) {
        if (!parse_line(take_to(&rest, '\n'), node, &storage))
            continue;
        ret->items = mem_resize(ret->items, ret->count + 1, sizeof *ret->items);
        ret->items[ret->count++] = storage;
    }
    if (ret->count > 0)
        qsort(ret->items, ret->count, sizeof *ret->items, compare);
    keep_newest(ret);
}

void rrd_storages_free(struct rrd_storages *storages)
{
    for (size_t i = 0; i < storages->count; i++)
        free(storages->items[i].storage);
    free(storages->items);
    *storages = (struct rrd_storages){0};
}
