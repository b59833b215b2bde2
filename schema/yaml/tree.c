/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/yaml/tree.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/base/text.h"

/* --- nodes --- */

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
    tree->items = mem_grow(tree->items, tree->count, sizeof(struct yaml_tree *));
    tree->items[tree->count++] = item;
}

bool yaml_tree_is_empty(const struct yaml_tree *tree)
{
    return tree->kind == YAML_TREE_SCALAR && tree->resolved && tree->length == 0;
}

/* Returns the tag for comparisons: !!str is left out, as it says only what a string is anyway. */
static const char *tag_for_comparison(const struct yaml_tree *tree)
{
    return tree->tag && strcmp(tree->tag, YAML_STR_TAG) != 0 ? tree->tag : "";
}

static int compare_sizes(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

int yaml_tree_compare(const struct yaml_tree *a, const struct yaml_tree *b)
{
    int order = a->kind != b->kind ? (a->kind > b->kind) - (a->kind < b->kind)
                                   : compare_sizes(a->length, b->length);
    if (order == 0 && a->length > 0)
        order = memcmp(a->text, b->text, a->length);
    if (order == 0)
        order = strcmp(tag_for_comparison(a), tag_for_comparison(b));
    if (order == 0)
        order = compare_sizes(a->count, b->count);
    for (size_t i = 0; order == 0 && i < a->count; i++)
        order = yaml_tree_compare(a->items[i], b->items[i]);
    return order;
}

/* Returns the index of an equal key in map->items; map->count if there is none. */
static size_t yaml_tree_find(const struct yaml_tree *map, const struct yaml_tree *key)
{
    size_t place = 0;
    while (place < map->count && yaml_tree_compare(map->items[place], key) != 0)
        place += 2;
    return place;
}

static void map_merge_pair(struct yaml_tree *map, struct yaml_tree *key, struct yaml_tree *value)
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
        map_merge_pair(map, over->items[i], over->items[i + 1]);
    over->count = 0;
    if (over->tag) {
        free(map->tag);
        map->tag = steal(over->tag);
    }
    yaml_tree_free(over);
}

void yaml_tree_put(struct yaml_tree *map, const char *key, struct yaml_tree *value)
{
    map_merge_pair(map, new_scalar(key, YAML_PLAIN_SCALAR_STYLE), value);
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

/* --- reading nodes as settings --- */

static bool scalar_is_null(const struct yaml_tree *scalar)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
    return scalar->style == YAML_PLAIN_SCALAR_STYLE && text_index(scalar->text, words) >= 0;
}

enum yaml_kind yaml_kind_of(const struct yaml_tree *node)
{
    switch (node->kind) {
    case YAML_TREE_MAP:
        return KIND_MAP;
    case YAML_TREE_SEQUENCE:
        return KIND_LIST;
    default:
        return scalar_is_null(node) ? KIND_NOTHING : KIND_TEXT;
    }
}

const char *yaml_kind_name(enum yaml_kind kind)
{
    static const char *const names[] = {"nothing", "a text", "a list", "a map"};
    return names[kind];
}

static const struct yaml_tree *find_component(const struct yaml_tree *map, const char *key,
                                              size_t length)
{
    if (map->kind != YAML_TREE_MAP)
        return NULL;
    for (size_t i = 0; i < map->count; i += 2) {
        const struct yaml_tree *found = map->items[i];
        if (found->text && found->length == length && memcmp(found->text, key, length) == 0)
            return map->items[i + 1];
    }
    return NULL;
}

const struct yaml_tree *yaml_find(const struct yaml_tree *map, const char *path)
{
    while (map) {
        size_t length = strcspn(path, ".");
        map = find_component(map, path, length);
        if (!path[length])
            return map;
        path += length + 1;
    }
    return NULL;
}

int yaml_refuse(const struct yaml_place *place, const char *key, struct error *error,
                const char *why, ...)
{
    char reason[sizeof error->message];
    char shown[64];
    va_list args;
    va_start(args, why);
    (void)vsnprintf(reason, sizeof reason, why, args);
    va_end(args);
    (void)snprintf(shown, sizeof shown, "%s", key ? key : "");
    for (char *c = shown; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return fail(error, ERROR_INVALID, "%.160s:%zu:%zu: %s%s%.240s", place->name, place->line,
                place->column, shown, key ? ": " : "", reason);
}

/* --- writing a tree as text --- */

#define UNFOLDED (-1)

static int append_emitted(void *out, unsigned char *bytes, size_t length)
{
    buffer_add(out, bytes, length);
    return 1;
}

/*
 * Returns true if writing the scalar in quotes keeps its meaning. The emitter adds quotes to plain
 * scalars that it cannot write plainly. That is right for texts, but not for null or a date with a
 * tab in it, whose plain text decides what they are; these, and scalars that were read with "!"
 * before their quotes, are written with "!" again.
 */
static bool is_text_in_quotes(const struct yaml_tree *scalar)
{
    if (!scalar->resolved)
        return true;
    return scalar->style == YAML_PLAIN_SCALAR_STYLE && scalar->length > 0 &&
           !memchr(scalar->text, '\t', scalar->length);
}

/* Passes an event to the emitter if it was created (made). Returns non-zero on success, as libyaml
 * does; so do the functions below. */
static int emit_event(yaml_emitter_t *emitter, int made, yaml_event_t *event)
{
    return made && yaml_emitter_emit(emitter, event);
}

static int emit_scalar(yaml_emitter_t *emitter, const struct yaml_tree *scalar)
{
    yaml_event_t event;
    bool quotable = !scalar->tag && is_text_in_quotes(scalar);
    int made = yaml_scalar_event_initialize(&event, NULL, (const yaml_char_t *)scalar->tag,
                                            (const yaml_char_t *)scalar->text, (int)scalar->length,
                                            scalar->resolved, quotable, scalar->style);
    return emit_event(emitter, made, &event);
}

static int emit_start(yaml_emitter_t *emitter, const struct yaml_tree *collection)
{
    yaml_event_t event;
    const yaml_char_t *tag = (const yaml_char_t *)collection->tag;
    int made =
        collection->kind == YAML_TREE_MAP
            ? yaml_mapping_start_event_initialize(&event, NULL, tag, !tag, YAML_BLOCK_MAPPING_STYLE)
            : yaml_sequence_start_event_initialize(&event, NULL, tag, !tag,
                                                   YAML_BLOCK_SEQUENCE_STYLE);
    return emit_event(emitter, made, &event);
}

static int emit_end(yaml_emitter_t *emitter, const struct yaml_tree *collection)
{
    yaml_event_t event;
    int made = collection->kind == YAML_TREE_MAP ? yaml_mapping_end_event_initialize(&event)
                                                 : yaml_sequence_end_event_initialize(&event);
    return emit_event(emitter, made, &event);
}

static int emit_node(yaml_emitter_t *emitter, const struct yaml_tree *node)
{
    if (node->kind == YAML_TREE_SCALAR)
        return emit_scalar(emitter, node);
    int good = emit_start(emitter, node);
    for (size_t i = 0; good && i < node->count; i++)
        good = emit_node(emitter, node->items[i]);
    return good && emit_end(emitter, node);
}

static int emit_document(yaml_emitter_t *emitter, const struct yaml_tree *root)
{
    yaml_event_t start;
    yaml_event_t end;
    return yaml_emitter_open(emitter) &&
           emit_event(emitter, yaml_document_start_event_initialize(&start, NULL, NULL, NULL, 1),
                      &start) &&
           emit_node(emitter, root) &&
           emit_event(emitter, yaml_document_end_event_initialize(&end, 1), &end) &&
           yaml_emitter_close(emitter);
}

/* libyaml gives no reason when it fails to create an event. */
static int fail_emitter(const yaml_emitter_t *emitter, struct error *error)
{
    if (emitter->error == YAML_MEMORY_ERROR || errno == ENOMEM)
        mem_exhausted();
    return fail(error, ERROR_INVALID, "cannot be written as YAML: %s",
                emitter->problem ? emitter->problem : "a text is not UTF-8");
}

int yaml_tree_emit(const struct yaml_tree *tree, struct buffer *out, struct error *error)
{
    cleanup_buffer struct buffer document = BUFFER_EMPTY;
    cleanup(yaml_emitter_delete) yaml_emitter_t emitter;
    if (!yaml_emitter_initialize(&emitter))
        mem_exhausted();
    yaml_emitter_set_output(&emitter, append_emitted, &document);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, UNFOLDED);
    errno = 0;
    if (!emit_document(&emitter, tree))
        return fail_emitter(&emitter, error);
    buffer_add(out, document.data, document.length);
    return 0;
}
