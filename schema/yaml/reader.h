/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small YAML document as a tree in which every key and value knows where it stood. Only what a
 * settings file needs: one document, texts, lists and maps; no anchors, aliases or tags, no key
 * twice, no endless nesting.
 */
#ifndef FELHOM_YAML_READER_H
#define FELHOM_YAML_READER_H

#include <stddef.h>

#include "schema/base/error.h"

struct yaml_place {
    const char *name; /* the document's, borrowed */
    size_t line;      /* from 1 */
    size_t column;    /* from 1, in characters */
};

enum yaml_kind {
    KIND_NOTHING, /* no value, ~ or null */
    KIND_TEXT,    /* any other scalar, quoted or not: what it means is the key's to say */
    KIND_LIST,
    KIND_MAP,
};

struct yaml_value {
    enum yaml_kind kind;
    struct yaml_place place;
    char *text;                 /* NULL for a list or map */
    struct yaml_entry *entries; /* of a list or map */
    size_t count;
};

struct yaml_entry {
    char *key; /* NULL in a list */
    struct yaml_place key_place;
    struct yaml_value value;
};

/*
 * Reads at most 1 MiB of UTF-8; an empty document is KIND_NOTHING. Fails with ERROR_INVALID and
 * NAME:LINE:COLUMN in front. name must outlive the result, which is the caller's to free with
 * yaml_value_free.
 */
int yaml_read(const char *name, const char *text, size_t length, struct yaml_value *ret,
              struct error *error);

/* Wipes and frees a tree, as any text in it may be a secret. Fits cleanup(). */
void yaml_value_free(struct yaml_value *value);

/* The value at a dotted path below a map, NULL where there is none. */
const struct yaml_value *yaml_find(const struct yaml_value *map, const char *path);

/* "a text", "a list" ...: how messages call a kind. */
const char *yaml_kind_name(enum yaml_kind kind);

/*
 * Fails with "NAME:LINE:COLUMN: key: why", without the key if that is NULL. A key comes from the
 * document: what is not printable ASCII in it shows as ?, and a long one is cut.
 */
int yaml_refuse(const struct yaml_place *place, const char *key, struct error *error,
                const char *why, ...) __attribute__((format(printf, 4, 5)));

#endif
