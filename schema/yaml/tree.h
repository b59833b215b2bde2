/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML documents in memory, as trees whose nodes remember line and column. A document is read
 * either as settings (only texts, lists and maps: agent.yaml, enrolments) or whole (controller.yaml
 * and its sources). Whole documents can be merged and written again, and every scalar keeps its
 * meaning, because its text, style and tag are kept.
 *
 * Not kept are comments, the flow style of collections ([a, b], {a: b}), anchors and merge keys. On
 * loading, an alias becomes a copy of the node that it refers to, and the keys that `<<` brings are
 * appended to the map, except those that the map has itself. A `<<` that stayed in the tree would
 * lose against any key that a later merge adds.
 */
#ifndef FELHOM_YAML_TREE_H
#define FELHOM_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/error.h"

/* The place in a document where a node was read. */
struct yaml_place {
    const char *name; /* the document's name, which the loader was given; must outlive the tree */
    size_t line;      /* from 1 */
    size_t column;    /* from 1, in characters */
};

enum yaml_tree_kind { YAML_TREE_SCALAR, YAML_TREE_SEQUENCE, YAML_TREE_MAP };

struct yaml_tree {
    enum yaml_tree_kind kind;
    struct yaml_place place;
    char *tag; /* in its long form; NULL: none */

    char *text; /* of a scalar; may contain NULs; wiped when freed */
    size_t length;
    yaml_scalar_style_t style;
    bool resolved; /* plain and untagged: the text decides whether it is a number or a date */

    struct yaml_tree **items; /* owned; a map has its keys and values alternately */
    size_t count;
};

/*
 * Reads length bytes of YAML: one document whose root is a map, without duplicate keys. Nothing but
 * blanks and comments gives an empty map. Limits: 1 MiB, 64 levels, and 8192 nodes after aliases
 * are resolved. Failures are ERROR_INVALID with NAME:LINE:COLUMN in front of the message. name must
 * outlive the tree, whose nodes keep it as place.name. The caller frees *ret with yaml_tree_free.
 */
int yaml_tree_load(const char *name, const char *text, size_t length, struct yaml_tree **ret,
                   struct error *error);

/*
 * Reads length bytes of a settings file: like yaml_tree_load, but the root may be of any kind, the
 * text must be UTF-8, and anchors, aliases, tags, NULs and keys that are not texts are refused.
 * Limits: 1 MiB and 64 levels of lists and maps. An empty document gives an empty scalar. Here,
 * too, name must outlive the tree.
 */
int yaml_settings_load(const char *name, const char *text, size_t length, struct yaml_tree **ret,
                       struct error *error);

/* Reads what stands before the first mistake of a text that yaml_settings_load refuses; an empty
 * scalar if nothing does. The caller frees *ret with yaml_tree_free. */
void yaml_settings_load_part(const char *text, size_t length, struct yaml_tree **ret);

/* The kind of a node in a settings file. */
enum yaml_kind {
    KIND_NOTHING, /* no value, ~ or null */
    KIND_TEXT,    /* any other scalar, quoted or not; the key's type decides what the text means */
    KIND_LIST,
    KIND_MAP,
};

/* Returns the kind of a node. A plain scalar that is empty, ~ or null is KIND_NOTHING. */
enum yaml_kind yaml_kind_of(const struct yaml_tree *node);

/* Returns the name of a kind for messages: "a text", "a list" and so on. */
const char *yaml_kind_name(enum yaml_kind kind);

/* Returns the value at a dotted path below the map; NULL if there is none. */
const struct yaml_tree *yaml_find(const struct yaml_tree *map, const char *path);

/*
 * Fails with ERROR_INVALID and "NAME:LINE:COLUMN: key: why", without "key: " if key is NULL. The
 * key comes from the document, so characters that are not printable ASCII become '?', and a long
 * key is cut.
 */
int yaml_refuse(const struct yaml_place *place, const char *key, struct error *error,
                const char *why, ...) __attribute__((format(printf, 4, 5)));

/* Appends the tree to out as a YAML document in UTF-8, in block style, without folding lines. On
 * failure, nothing is appended. */
int yaml_tree_emit(const struct yaml_tree *tree, struct buffer *out, struct error *error);

/* Create a node: an empty one, a double-quoted text, or a plain scalar, whose text decides its
 * type. The caller owns the node until it is put into another. */
struct yaml_tree *yaml_tree_new(enum yaml_tree_kind kind);
struct yaml_tree *yaml_tree_new_text(const char *text);
struct yaml_tree *yaml_tree_new_plain(const char *text);

/* Frees the tree with everything below it. NULL is allowed. */
void yaml_tree_free(struct yaml_tree *tree);

/* Appends an item to a sequence or to a map (a key, then its value). The tree takes over the
 * item. */
void yaml_tree_append(struct yaml_tree *tree, struct yaml_tree *item);

/* Compares two nodes and returns less than, equal to or greater than 0. The style of scalars does
 * not count. */
int yaml_tree_compare(const struct yaml_tree *a, const struct yaml_tree *b);

/* Merges over into map: maps are merged key by key, at all levels; any other value replaces the
 * earlier one. Takes over and frees over. */
void yaml_tree_merge(struct yaml_tree *map, struct yaml_tree *over);

/* Merges one key and its value into map in the same way. Takes over the value. */
void yaml_tree_put(struct yaml_tree *map, const char *key, struct yaml_tree *value);

/* Remove a key from the map and return its value, which the caller then owns. place: the key's
 * index in map->items. yaml_tree_take returns NULL if the map has no such key. */
struct yaml_tree *yaml_tree_take_at(struct yaml_tree *map, size_t place);
struct yaml_tree *yaml_tree_take(struct yaml_tree *map, const char *key);

/* Moves all keys that map does not have yet from other into map. */
void yaml_tree_add_missing(struct yaml_tree *map, struct yaml_tree *other);

/* Returns true for a scalar that was left out, as in "key:". */
bool yaml_tree_is_empty(const struct yaml_tree *tree);

static inline void cleanup_yaml_tree_fn(struct yaml_tree **tree)
{
    yaml_tree_free(*tree);
}

#define cleanup_yaml_tree cleanup(cleanup_yaml_tree_fn)

#endif
