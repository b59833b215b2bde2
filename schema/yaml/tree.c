/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/yaml/tree.h"

#include <string.h>

#include "schema/base/memory.h"

struct yaml_tree *yaml_tree_new(enum yaml_tree_kind kind)
{
    struct yaml_tree *tree = mem_new(struct yaml_tree);
    tree->kind = kind;
    return tree;
}

static struct yaml_tree *new_scalar(const char *text, yaml_scalar_style_t style)
{
    struct yaml_tree *scalar = yaml_tree_new(YAML_TREE_SCALAR);
    scalar->text = mem_copy_text(text);
    scalar->length = strlen(text);
    scalar->style = style;
    scalar->resolved = style == YAML_PLAIN_SCALAR_STYLE;
    return scalar;
}

struct yaml_tree *yaml_tree_new_text(const char *text)
{
    return new_scalar(text, YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}

struct yaml_tree *yaml_tree_new_plain(const char *text)
{
    return new_scalar(text, YAML_PLAIN_SCALAR_STYLE);
}

void yaml_tree_free(struct yaml_tree *tree)
{
    if (!tree)
        return;
    for (size_t i = 0; i < tree->count; i++)
        yaml_tree_free(tree->items[i]);
    if (tree->text)
        explicit_bzero(tree->text, tree->length);
    free(tree->items);
    free(tree->text);
    free(tree->tag);
    free(tree);
}

void yaml_tree_append(struct yaml_tree *tree, struct yaml_tree *item)
{
    size_t count = tree->count;
    bool power_of_two = (count & (count - 1)) == 0;
    if (power_of_two)
        tree->items = mem_resize(tree->items, count ? 2 * count : 1, sizeof(struct yaml_tree *));
    tree->items[tree->count++] = item;
}

bool yaml_tree_is_empty(const struct yaml_tree *tree)
{
    return tree->kind == YAML_TREE_SCALAR && tree->resolved && tree->length == 0;
}

/* !!str says what a string is anyway. */
static const char *telling_tag(const struct yaml_tree *tree)
{
    return tree->tag && strcmp(tree->tag, YAML_STR_TAG) != 0 ? tree->tag : "";
}

static bool equal(const struct yaml_tree *a, const struct yaml_tree *b)
{
    if (a->kind != b->kind || a->length != b->length || a->count != b->count)
        return false;
    if (a->length > 0 && memcmp(a->text, b->text, a->length) != 0)
        return false;
    if (strcmp(telling_tag(a), telling_tag(b)) != 0)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!equal(a->items[i], b->items[i]))
            return false;
    return true;
}

size_t yaml_tree_find(const struct yaml_tree *map, const struct yaml_tree *key)
{
    size_t place = 0;
    while (place < map->count && !equal(map->items[place], key))
        place += 2;
    return place;
}

static void merge_pair(struct yaml_tree *map, struct yaml_tree *key, struct yaml_tree *value)
{
    size_t place = yaml_tree_find(map, key);
    if (place == map->count) {
        yaml_tree_append(map, key);
        yaml_tree_append(map, value);
        return;
    }
    yaml_tree_free(key);
    struct yaml_tree **old = &map->items[place + 1];
    if ((*old)->kind == YAML_TREE_MAP && value->kind == YAML_TREE_MAP) {
        yaml_tree_merge(*old, value);
        return;
    }
    yaml_tree_free(*old);
    *old = value;
}

void yaml_tree_merge(struct yaml_tree *map, struct yaml_tree *over)
{
    for (size_t i = 0; i < over->count; i += 2)
        merge_pair(map, over->items[i], over->items[i + 1]);
    over->count = 0;
    if (over->tag) {
        free(map->tag);
        map->tag = steal(over->tag);
    }
    yaml_tree_free(over);
}

void yaml_tree_put(struct yaml_tree *map, const char *key, struct yaml_tree *value)
{
    merge_pair(map, new_scalar(key, YAML_PLAIN_SCALAR_STYLE), value);
}

struct yaml_tree *yaml_tree_take_at(struct yaml_tree *map, size_t place)
{
    struct yaml_tree **pair = &map->items[place];
    struct yaml_tree *value = pair[1];
    yaml_tree_free(pair[0]);
    map->count -= 2;
    memmove(pair, pair + 2, (map->count - place) * sizeof(struct yaml_tree *));
    return value;
}

struct yaml_tree *yaml_tree_take(struct yaml_tree *map, const char *key)
{
    cleanup_yaml_tree struct yaml_tree *wanted = new_scalar(key, YAML_PLAIN_SCALAR_STYLE);
    size_t place = yaml_tree_find(map, wanted);
    return place < map->count ? yaml_tree_take_at(map, place) : NULL;
}

void yaml_tree_add_missing(struct yaml_tree *map, struct yaml_tree *other)
{
    size_t kept = 0;
    for (size_t i = 0; i < other->count; i += 2) {
        struct yaml_tree **pair = &other->items[i];
        bool missing = yaml_tree_find(map, pair[0]) == map->count;
        for (size_t part = 0; part < 2; part++) {
            if (missing)
                yaml_tree_append(map, pair[part]);
            else
                other->items[kept++] = pair[part];
        }
    }
    other->count = kept;
}

int yaml_tree_fail(const char *name, const struct yaml_tree *node, const char *why,
                   struct error *error)
{
    return fail(error, ERROR_INVALID, "%s:%zu:%zu: %s", name, node->mark.line + 1,
                node->mark.column + 1, why);
}
