/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML documents in memory. They are read as settings (texts, lists and maps alone), or whole: then
 * they can be merged and written again while every scalar keeps its meaning: text, style and tag
 * stay as they were read. Not kept: comments, the flow style
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

/* Where a node was read. */
struct yaml_place {
    const char *name; /* the document's, borrowed from whoever loaded it */
    size_t line;      /* from 1 */
    size_t column;    /* from 1, in characters */
};

enum yaml_tree_kind { YAML_TREE_SCALAR, YAML_TREE_SEQUENCE, YAML_TREE_MAP };

struct yaml_tree {
    enum yaml_tree_kind kind;
    struct yaml_place place;
    char *tag; /* in full; NULL: none */

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
 * resolved. Fails with ERROR_INVALID and NAME:LINE:COLUMN in front. name must outlive the result,
 * which is the caller's to free with yaml_tree_free.
 */
int yaml_tree_load(const char *name, const char *text, size_t length, struct yaml_tree **ret,
                   struct error *error);

/*
 * Reads length bytes of a settings file in the same way: one document of UTF-8 with any root, of
 * texts, lists and maps; no anchors, aliases or tags, no NUL, keys that are texts. At most 1 MiB
 * and 64 levels of lists and maps. An empty document is an empty scalar.
 */
int yaml_settings_load(const char *name, const char *text, size_t length, struct yaml_tree **ret,
                       struct error *error);

/* What a node is as a setting. */
enum yaml_kind {
    KIND_NOTHING, /* no value, ~ or null */
    KIND_TEXT,    /* any other scalar, quoted or not: what it means is the key's to say */
    KIND_LIST,
    KIND_MAP,
};

enum yaml_kind yaml_kind_of(const struct yaml_tree *node);

/* "a text", "a list" ...: how messages call a kind. */
const char *yaml_kind_name(enum yaml_kind kind);

/* The value at a dotted path below a map, NULL where there is none. */
const struct yaml_tree *yaml_find(const struct yaml_tree *map, const char *path);

/*
 * Fails with "NAME:LINE:COLUMN: key: why", without the key if that is NULL. A key comes from the
 * document: what is not printable ASCII in it shows as ?, and a long one is cut.
 */
int yaml_refuse(const struct yaml_place *place, const char *key, struct error *error,
                const char *why, ...) __attribute__((format(printf, 4, 5)));

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

/* Orders two nodes; 0 if they are equal. Style makes no difference. */
int yaml_tree_compare(const struct yaml_tree *a, const struct yaml_tree *b);

/* The place of a key equal to this one in map->items; map->count if there is none. */
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

static inline void cleanup_yaml_tree_fn(struct yaml_tree **tree)
{
    yaml_tree_free(*tree);
}

#define cleanup_yaml_tree cleanup(cleanup_yaml_tree_fn)

#endif
