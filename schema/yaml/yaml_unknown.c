/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/yaml/yaml_unknown.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"

#define NAME_SIZE 32 /* longer than any component of a path */
#define SLIPS     2  /* so many letters wrong are still a slip */

/* A key or section of one level. */
struct name {
    char text[NAME_SIZE];
};

/* What a row has at the level of a section: false if it lies elsewhere. */
static bool name_in(const struct yaml_key *key, const char *section, struct name *ret)
{
    size_t length = strlen(section);
    const char *rest = key->path;
    if (length) {
        if (strncmp(rest, section, length) != 0 || rest[length] != '.')
            return false;
        rest += length + 1;
    }
    (void)snprintf(ret->text, sizeof ret->text, "%.*s", (int)strcspn(rest, "."), rest);
    return true;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters to add, drop or change; of the usual matrix only the last row is kept. */
static size_t distance(const char *a, const struct name *b)
{
    size_t row[NAME_SIZE];
    size_t width = strlen(b->text);
    for (size_t i = 0; i <= width; i++)
        row[i] = i;
    for (size_t line = 1; a[line - 1]; line++) {
        size_t diagonal = row[0];
        row[0] = line;
        for (size_t i = 1; i <= width; i++) {
            size_t above = row[i];
            size_t changed = diagonal + (a[line - 1] != b->text[i - 1]);
            row[i] = least(changed, least(above, row[i - 1]) + 1);
            diagonal = above;
        }
    }
    return row[width];
}

static bool find_alike(const struct yaml_table *table, const char *section, const char *given,
                       struct name *ret)
{
    size_t best = least(SLIPS, strlen(given) / 2) + 1;
    size_t start = best;
    if (strlen(given) >= NAME_SIZE)
        return false;
    for (size_t i = 0; i < table->count; i++) {
        struct name name;
        size_t away = name_in(&table->keys[i], section, &name) ? distance(given, &name) : SIZE_MAX;
        if (away < best) {
            best = away;
            *ret = name;
        }
    }
    return best < start;
}

/* A path that ends in the same key, or NULL. */
static const char *find_elsewhere(const struct yaml_table *table, const char *given)
{
    for (size_t i = 0; i < table->count; i++) {
        const char *dot = strrchr(table->keys[i].path, '.');
        if (dot && !strcmp(dot + 1, given))
            return table->keys[i].path;
    }
    return NULL;
}

/* Rows of a section stand together, so that a name repeats only its forerunner. */
static void list_names(const struct yaml_table *table, const char *section, struct buffer *list)
{
    struct name last = {""};
    for (size_t i = 0; i < table->count; i++) {
        struct name name;
        if (!name_in(&table->keys[i], section, &name) || !strcmp(name.text, last.text))
            continue;
        buffer_add_format(list, "%s%s", list->length ? ", " : "", name.text);
        last = name;
    }
}

int yaml_refuse_unknown(const struct yaml_table *table, const char *section,
                        const struct yaml_entry *entry, struct error *error)
{
    struct name alike;
    const char *dot = *section ? "." : "";
    const char *elsewhere = find_elsewhere(table, entry->key);
    cleanup_buffer struct buffer path = BUFFER_EMPTY;
    cleanup_buffer struct buffer list = BUFFER_EMPTY;
    buffer_add_format(&path, "%s%s%s", section, dot, entry->key);
    if (find_alike(table, section, entry->key, &alike))
        return yaml_refuse(&entry->key_place, buffer_text(&path), error,
                           "unknown key; did you mean %s%s%s?", section, dot, alike.text);
    if (elsewhere)
        return yaml_refuse(&entry->key_place, buffer_text(&path), error,
                           "unknown key; did you mean %s?", elsewhere);
    list_names(table, section, &list);
    return yaml_refuse(&entry->key_place, buffer_text(&path), error, "unknown key; known %s: %s",
                       *section ? "there" : "at the top", buffer_text(&list));
}
