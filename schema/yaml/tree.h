/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A YAML document in memory, so that documents can be merged and written again while every scalar
 * keeps its meaning: text, style and tag stay as they were read. Not kept: comments, the flow style
 * ([a, b], {a: b}) of collections, and anchors and merge keys: on loading, an alias becomes a copy
 * of what it names, and the keys that `<<` brings are put into its map (at the end, where the map
 * does not say otherwise), as a `<<` that stayed would weigh less than any key of a later source.
 */
#ifndef FELHOM_YAML_TREE_H
#define FELHOM_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/error.h"

enum yaml_tree_kind { YAML_TREE_SCALAR, YAML_TREE_SEQUENCE, YAML_TREE_MAP };

struct yaml_tree {
    enum yaml_tree_kind kind;
    yaml_mark_t mark; /* where it was read; counts from 0 */
    char *tag;        /* in full; NULL: none */

    char *text; /* of a scalar; may hold NULs; wiped when freed */
    size_t length;
    yaml_scalar_style_t style;
    bool resolved; /* plain and untagged: its text decides whether it is a number, a date, ... */

    struct yaml_tree **items; /* of a sequence; of a map its keys and values in turn; owned */
    size_t count;
};

/*
 * Reads length bytes: one document whose root is a map, without duplicate keys; nothing but space
 * and comments gives an empty map. At most 1 MiB, 64 levels, and 8192 nodes once aliases are
 * resolved. Fails with ERROR_INVALID and NAME:LINE:COLUMN. The result is the caller's to free with
 * yaml_tree_free.
 */
int yaml_tree_load(const char *name, const char *text, size_t length, struct yaml_tree **ret,
                   struct error *error);

/* Adds the tree as a document in block style, lines unfolded, in UTF-8. Adds nothing if it fails.
 */
int yaml_tree_emit(const struct yaml_tree *tree, struct buffer *out, struct error *error);

/* New nodes, the caller's to free or to put into another: an empty one, a double-quoted text, and a
 * plain scalar, whose text decides what it is. */
struct yaml_tree *yaml_tree_new(enum yaml_tree_kind kind);
struct yaml_tree *yaml_tree_new_text(const char *text);
struct yaml_tree *yaml_tree_new_plain(const char *text);

/* Releases the tree with all below; NULL is fine. */
void yaml_tree_free(struct yaml_tree *tree);

/* Adds an item at the end of a sequence, or of a map (a key first, then its value). Takes the item.
 */
void yaml_tree_append(struct yaml_tree *tree, struct yaml_tree *item);

/* The place of a key equal to this one in map->items; map->count if there is none. Style makes no
 * difference. */
size_t yaml_tree_find(const struct yaml_tree *map, const struct yaml_tree *key);

/* Merges over into map: maps key by key and deep, anything else replaces what was there. Takes
 * over. */
void yaml_tree_merge(struct yaml_tree *map, struct yaml_tree *over);

/* The same for one key; takes the value. */
void yaml_tree_put(struct yaml_tree *map, const char *key, struct yaml_tree *value);

/* Takes the value at this place, or of this key, out of the map and hands it to the caller; NULL if
 * there is no such key. */
struct yaml_tree *yaml_tree_take_at(struct yaml_tree *map, size_t place);
struct yaml_tree *yaml_tree_take(struct yaml_tree *map, const char *key);

/* Moves those keys of other into map that map does not have. */
void yaml_tree_add_missing(struct yaml_tree *map, struct yaml_tree *other);

/* Whether it is a scalar that was left out, as in "key:". */
bool yaml_tree_is_empty(const struct yaml_tree *tree);

/* fail() with "NAME:LINE:COLUMN: WHY" for the place where the node was read. */
int yaml_tree_fail(const char *name, const struct yaml_tree *node, const char *why,
                   struct error *error);

static inline void cleanup_yaml_tree_fn(struct yaml_tree **tree)
{
    yaml_tree_free(*tree);
}

#define cleanup_yaml_tree cleanup(cleanup_yaml_tree_fn)

#endif
