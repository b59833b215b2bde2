/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/yaml/keys.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/error.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/units.h"

void *yaml_field(const struct yaml_key *key, void *document)
{
    return (char *)document + key->offset;
}

static void field_release_text(const struct yaml_key *key, void *document)
{
    char **field = yaml_field(key, document);
    if (*field)
        explicit_bzero(*field, strlen(*field));
    free(*field);
    *field = NULL;
}

static void field_put_text(const struct yaml_key *key, const char *text, void *document)
{
    char **field = yaml_field(key, document);
    field_release_text(key, document);
    *field = mem_copy_text(text);
}

int yaml_text_check(const struct yaml_text_rule *rule, const char *text, struct error *error)
{
    if (strlen(text) > rule->longest)
        return fail(error, ERROR_INVALID, "must not be longer than %zu bytes", rule->longest);
    if (!rule->accepts(text))
        return fail(error, ERROR_INVALID, "must be %s", rule->wanted);
    return 0;
}

static int value_read_text(const struct yaml_key *key, const struct yaml_tree *value,
                           void *document, struct error *error)
{
    bool left_out = !*value->text && !*key->standard;
    if (!left_out && yaml_text_check(key->rule.text, value->text, error))
        return yaml_refuse(&value->place, key->path, error, "%s", error->message);
    field_put_text(key, value->text, document);
    return 0;
}

static int value_refuse_word(const struct yaml_key *key, const struct yaml_tree *value,
                             struct error *error)
{
    cleanup_buffer struct buffer list = BUFFER_EMPTY;
    for (const char *const *word = key->rule.words; *word; word++) {
        const char *before = word == key->rule.words ? "" : word[1] ? ", " : " or ";
        buffer_add_format(&list, "%s%s", before, *word);
    }
    return yaml_refuse(&value->place, key->path, error, "must be %s", buffer_text(&list));
}

static int value_read_choice(const struct yaml_key *key, const struct yaml_tree *value,
                             void *document, struct error *error)
{
    if (text_index(value->text, key->rule.words) < 0)
        return value_refuse_word(key, value, error);
    field_put_text(key, value->text, document);
    return 0;
}

static int value_read_enum(const struct yaml_key *key, const struct yaml_tree *value,
                           void *document, struct error *error)
{
    const int index = text_index(value->text, key->rule.words);
    if (index < 0)
        return value_refuse_word(key, value, error);
    memcpy(yaml_field(key, document), &index, sizeof index);
    return 0;
}

/* Decimal digits only: a number in YAML's octal, hexadecimal or signed form is more likely a typing
 * error than meant. */
static int value_read_count(const struct yaml_key *key, const struct yaml_tree *value,
                            void *document, struct error *error)
{
    uint64_t number;
    uint64_t least = key->rule.bounds.least;
    uint64_t most = key->rule.bounds.most;
    if (!text_number(value->text, most, &number) || number < least)
        return yaml_refuse(&value->place, key->path, error, "must be a number from %ju to %ju",
                           (uintmax_t)least, (uintmax_t)most);
    *(uint32_t *)yaml_field(key, document) = (uint32_t)number;
    return 0;
}

static int value_read_duration(const struct yaml_key *key, const struct yaml_tree *value,
                               void *document, struct error *error)
{
    uint64_t ms;
    if (!duration_parse(value->text, &ms))
        return yaml_refuse(&value->place, key->path, error,
                           "must be a duration: digits and one of s m h d, such as 30s or 24h%s",
                           key->rule.bounds.least == 0 ? ", or 0" : "");
    if (ms < key->rule.bounds.least || ms > key->rule.bounds.most)
        return yaml_refuse(&value->place, key->path, error, "must be from %jus to %jus",
                           (uintmax_t)(key->rule.bounds.least / 1000),
                           (uintmax_t)(key->rule.bounds.most / 1000));
    *(uint64_t *)yaml_field(key, document) = ms;
    return 0;
}

static int value_read_anything(const struct yaml_key *key, const struct yaml_tree *value,
                               void *document, struct error *error)
{
    (void)key;
    (void)value;
    (void)document;
    (void)error;
    return 0;
}

const struct yaml_type yaml_text = {KIND_TEXT, value_read_text, field_release_text};
const struct yaml_type yaml_choice = {KIND_TEXT, value_read_choice, field_release_text};
const struct yaml_type yaml_enum = {KIND_TEXT, value_read_enum, NULL};
const struct yaml_type yaml_count = {KIND_TEXT, value_read_count, NULL};
const struct yaml_type yaml_duration = {KIND_TEXT, value_read_duration, NULL};
const struct yaml_type yaml_anything = {KIND_MAP, value_read_anything, NULL};

/* --- unknown keys: what to suggest --- */

#define NAME_SIZE 32 /* longer than any component of a known path */
#define SLIPS     2  /* up to this many wrong letters count as a typing error */

/* The name of a key or section, without the sections above it. */
struct name {
    char text[NAME_SIZE];
};

/* Writes the name that a row has directly below the section. False if the row lies elsewhere. */
static bool key_name_in(const struct yaml_key *key, const char *section, struct name *ret)
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

static size_t smaller_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein distance: how many letters to add, drop or change. Only the last row of the usual
 * matrix is kept. */
static size_t edit_distance(const char *a, const struct name *b)
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
            row[i] = smaller_size(changed, smaller_size(above, row[i - 1]) + 1);
            diagonal = above;
        }
    }
    return row[width];
}

static bool find_similar_name(const struct yaml_table *table, const char *section,
                              const char *given, struct name *ret)
{
    size_t best = smaller_size(SLIPS, strlen(given) / 2) + 1;
    size_t start = best;
    if (strlen(given) >= NAME_SIZE)
        return false;
    for (size_t i = 0; i < table->count; i++) {
        struct name name;
        size_t away =
            key_name_in(&table->keys[i], section, &name) ? edit_distance(given, &name) : SIZE_MAX;
        if (away < best) {
            best = away;
            *ret = name;
        }
    }
    return best < start;
}

/* Returns the path of a key with this name in any section; NULL if there is none. */
static const char *find_elsewhere(const struct yaml_table *table, const char *given)
{
    for (size_t i = 0; i < table->count; i++) {
        const char *dot = strrchr(table->keys[i].path, '.');
        if (dot && !strcmp(dot + 1, given))
            return table->keys[i].path;
    }
    return NULL;
}

/* Rows of one section are adjacent in the table, so comparing with the last name avoids
 * duplicates. */
static void list_names(const struct yaml_table *table, const char *section, struct buffer *list)
{
    struct name last = {""};
    for (size_t i = 0; i < table->count; i++) {
        struct name name;
        if (!key_name_in(&table->keys[i], section, &name) || !strcmp(name.text, last.text))
            continue;
        buffer_add_format(list, "%s%s", list->length ? ", " : "", name.text);
        last = name;
    }
}

/*
 * Refuses an unknown key in a section ("" at the top). The message suggests the key that was likely
 * meant: a similar name in the same section, else the same name in another section. Without either
 * it lists the keys that the section has.
 */
static int yaml_refuse_unknown(const struct yaml_table *table, const char *section,
                               const struct yaml_tree *name, struct error *error)
{
    struct name alike;
    const char *dot = *section ? "." : "";
    const char *elsewhere = find_elsewhere(table, name->text);
    cleanup_buffer struct buffer path = BUFFER_EMPTY;
    cleanup_buffer struct buffer list = BUFFER_EMPTY;
    buffer_add_format(&path, "%s%s%s", section, dot, name->text);
    if (find_similar_name(table, section, name->text, &alike))
        return yaml_refuse(&name->place, buffer_text(&path), error,
                           "unknown key; did you mean %s%s%s?", section, dot, alike.text);
    if (elsewhere)
        return yaml_refuse(&name->place, buffer_text(&path), error, "unknown key; did you mean %s?",
                           elsewhere);
    list_names(table, section, &list);
    return yaml_refuse(&name->place, buffer_text(&path), error, "unknown key; known %s: %s",
                       *section ? "there" : "at the top", buffer_text(&list));
}

/* A dotted path. Cutting it is harmless: a path that does not fit is longer than any known one. */
struct path {
    char text[64];
};

static struct path path_below(const char *section, const char *name)
{
    struct path path;
    (void)snprintf(path.text, sizeof path.text, "%s%s%s", section, *section ? "." : "", name);
    return path;
}

static const struct yaml_key *table_find_key(const struct yaml_table *table, const char *path)
{
    for (size_t i = 0; i < table->count; i++)
        if (!strcmp(table->keys[i].path, path))
            return &table->keys[i];
    return NULL;
}

static bool table_has_section(const struct yaml_table *table, const char *path)
{
    size_t length = strlen(path);
    for (size_t i = 0; i < table->count; i++)
        if (!strncmp(table->keys[i].path, path, length) && table->keys[i].path[length] == '.')
            return true;
    return false;
}

static int value_refuse_kind(enum yaml_kind wanted, const struct yaml_tree *value, const char *path,
                             struct error *error)
{
    return yaml_refuse(&value->place, path, error, "must be %s, not %s", yaml_kind_name(wanted),
                       yaml_kind_name(yaml_kind_of(value)));
}

static bool is_empty_collection(const struct yaml_tree *value, enum yaml_kind kind)
{
    return yaml_kind_of(value) == KIND_NOTHING && (kind == KIND_LIST || kind == KIND_MAP);
}

static int table_read_key(const struct yaml_key *key, const struct yaml_tree *value, void *document,
                          struct error *error)
{
    if (yaml_kind_of(value) != key->type->kind && !is_empty_collection(value, key->type->kind))
        return value_refuse_kind(key->type->kind, value, key->path, error);
    return key->type->read(key, value, document, error);
}

static int table_read_section(const struct yaml_table *table, const char *section,
                              const struct yaml_tree *map, void *document, struct error *error);

static int table_read_entry(const struct yaml_table *table, const char *section,
                            const struct yaml_tree *name, const struct yaml_tree *value,
                            void *document, struct error *error)
{
    struct path path = path_below(section, name->text);
    bool is_one_name = *name->text && !strchr(name->text, '.');
    const struct yaml_key *key = is_one_name ? table_find_key(table, path.text) : NULL;
    if (key)
        return table_read_key(key, value, document, error);
    if (is_one_name && table_has_section(table, path.text))
        return table_read_section(table, path.text, value, document, error);
    return yaml_refuse_unknown(table, section, name, error);
}

static int table_read_section(const struct yaml_table *table, const char *section,
                              const struct yaml_tree *map, void *document, struct error *error)
{
    if (map->kind != YAML_TREE_MAP && yaml_kind_of(map) != KIND_NOTHING)
        return value_refuse_kind(KIND_MAP, map, *section ? section : NULL, error);
    for (size_t i = 0; i < map->count; i += 2)
        if (table_read_entry(table, section, map->items[i], map->items[i + 1], document, error))
            return -1;
    return 0;
}

static int table_read_default(const struct yaml_key *key, void *document, struct error *error)
{
    /* The cast drops const; the readers do not change the text. */
    struct yaml_tree value = {
        .kind = YAML_TREE_SCALAR, .place = {"default", 0, 0}, .text = (char *)key->standard};
    if (!key->standard)
        return 0;
    return key->type->read(key, &value, document, error);
}

int yaml_table_read(const struct yaml_table *table, const struct yaml_tree *map, void *document,
                    struct error *error)
{
    for (size_t i = 0; i < table->count; i++)
        if (table_read_default(&table->keys[i], document, error))
            return -1;
    return table_read_section(table, "", map, document, error);
}

void yaml_table_salvage(const struct yaml_table *table, const struct yaml_tree *map, void *document)
{
    struct error ignored;
    for (size_t i = 0; i < table->count; i++) {
        const struct yaml_key *key = &table->keys[i];
        const struct yaml_tree *value = yaml_find(map, key->path);
        (void)table_read_default(key, document, &ignored);
        if (value)
            (void)table_read_key(key, value, document, &ignored);
    }
}

void yaml_table_free(const struct yaml_table *table, void *document)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->keys[i].type->release)
            table->keys[i].type->release(&table->keys[i], document);
}
