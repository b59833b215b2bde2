/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/yaml/keys.h"

#include <stdio.h>
#include <string.h>

#include "schema/yaml/yaml_unknown.h"

/* A dotted path; an unknown key in it may be cut, as it is longer than any known one. */
struct path {
    char text[64];
};

static struct path path_below(const char *section, const char *name)
{
    struct path path;
    (void)snprintf(path.text, sizeof path.text, "%s%s%s", section, *section ? "." : "", name);
    return path;
}

static const struct yaml_key *find_key(const struct yaml_table *table, const char *path)
{
    for (size_t i = 0; i < table->count; i++)
        if (!strcmp(table->keys[i].path, path))
            return &table->keys[i];
    return NULL;
}

static bool is_section(const struct yaml_table *table, const char *path)
{
    size_t length = strlen(path);
    for (size_t i = 0; i < table->count; i++)
        if (!strncmp(table->keys[i].path, path, length) && table->keys[i].path[length] == '.')
            return true;
    return false;
}

static int refuse_kind(enum yaml_kind wanted, const struct yaml_value *value, const char *path,
                       struct error *error)
{
    return yaml_refuse(&value->place, path, error, "must be %s, not %s", yaml_kind_name(wanted),
                       yaml_kind_name(value->kind));
}

static bool is_empty_collection(const struct yaml_value *value, enum yaml_kind kind)
{
    return value->kind == KIND_NOTHING && (kind == KIND_LIST || kind == KIND_MAP);
}

static int read_key(const struct yaml_key *key, const struct yaml_value *value, void *document,
                    struct error *error)
{
    if (value->kind != key->type->kind && !is_empty_collection(value, key->type->kind))
        return refuse_kind(key->type->kind, value, key->path, error);
    return key->type->read(key, value, document, error);
}

static int read_section(const struct yaml_table *table, const char *section,
                        const struct yaml_value *map, void *document, struct error *error);

static int read_entry(const struct yaml_table *table, const char *section,
                      const struct yaml_entry *entry, void *document, struct error *error)
{
    struct path path = path_below(section, entry->key);
    bool is_one_name = *entry->key && !strchr(entry->key, '.');
    const struct yaml_key *key = is_one_name ? find_key(table, path.text) : NULL;
    if (key)
        return read_key(key, &entry->value, document, error);
    if (is_one_name && is_section(table, path.text))
        return read_section(table, path.text, &entry->value, document, error);
    return yaml_refuse_unknown(table, section, entry, error);
}

static int read_section(const struct yaml_table *table, const char *section,
                        const struct yaml_value *map, void *document, struct error *error)
{
    if (map->kind != KIND_MAP && map->kind != KIND_NOTHING)
        return refuse_kind(KIND_MAP, map, *section ? section : NULL, error);
    for (size_t i = 0; i < map->count; i++)
        if (read_entry(table, section, &map->entries[i], document, error))
            return -1;
    return 0;
}

static int read_default(const struct yaml_key *key, void *document, struct error *error)
{
    struct yaml_place place = {"default", 0, 0};
    char text[256];
    struct yaml_value value = {.kind = KIND_NOTHING, .place = place};
    if (!key->standard)
        return 0;
    (void)snprintf(text, sizeof text, "%s", key->standard);
    value.kind = KIND_TEXT;
    value.text = text;
    return key->type->read(key, &value, document, error);
}

int yaml_table_read(const struct yaml_table *table, const struct yaml_value *map, void *document,
                    struct error *error)
{
    for (size_t i = 0; i < table->count; i++)
        if (read_default(&table->keys[i], document, error))
            return -1;
    return read_section(table, "", map, document, error);
}

void yaml_table_salvage(const struct yaml_table *table, const struct yaml_value *map,
                        void *document)
{
    struct error ignored;
    for (size_t i = 0; i < table->count; i++) {
        const struct yaml_key *key = &table->keys[i];
        const struct yaml_value *value = yaml_find(map, key->path);
        (void)read_default(key, document, &ignored);
        if (value)
            (void)read_key(key, value, document, &ignored);
    }
}

void yaml_table_free(const struct yaml_table *table, void *document)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->keys[i].type->release)
            table->keys[i].type->release(&table->keys[i], document);
}
