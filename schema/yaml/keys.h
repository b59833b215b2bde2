/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a settings file into a struct, driven by a table with one row for each key: its dotted
 * path, its type, the field of the struct that takes the value, what values are allowed, and the
 * default. agent.yaml and the enrolment files are read with such tables. The reader refuses unknown
 * keys, suggests the key that was likely meant, and names line and column in each message.
 * "Document" below means the struct that is filled.
 */
#ifndef FELHOM_YAML_KEYS_H
#define FELHOM_YAML_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/error.h"
#include "schema/yaml/tree.h"

struct yaml_key;

/* Stores a value in the document's field. The value has the kind that the type demands (a list or
 * map may also be KIND_NOTHING). Fails with yaml_refuse. */
typedef int yaml_read_fn(const struct yaml_key *key, const struct yaml_tree *value, void *document,
                         struct error *error);

struct yaml_type {
    enum yaml_kind kind;
    yaml_read_fn *read;
    void (*release)(const struct yaml_key *key, void *document); /* NULL: nothing to free */
};

struct yaml_text_rule {
    bool (*accepts)(const char *text);
    size_t longest; /* in bytes */
    const char *wanted;
};

struct yaml_key {
    const char *path; /* dotted, such as section.key */
    const struct yaml_type *type;
    size_t offset;        /* of the field in the document */
    const char *standard; /* the default as written in the file; NULL: an empty list or map */
    union {
        const struct yaml_text_rule *text;
        const char *const *words; /* a list that ends with NULL */
        struct {
            uint64_t least, most;
        } bounds; /* of a count, or of a duration in milliseconds */
    } rule;
};

struct yaml_table {
    const struct yaml_key *keys;
    size_t count;
};

/* A char * that the key's text rule accepts; also "" if "" is the default. Wiped when freed. */
extern const struct yaml_type yaml_text;
/* A char * that is one of the key's words. */
extern const struct yaml_type yaml_choice;
/* An enum; its values are the indexes of the key's words, from 0. */
extern const struct yaml_type yaml_enum;
/* A uint32_t within the key's bounds. */
extern const struct yaml_type yaml_count;
/* A uint64_t in milliseconds, within the key's bounds. */
extern const struct yaml_type yaml_duration;
/* Any map; its content is neither read nor checked. */
extern const struct yaml_type yaml_anything;

/* Returns the address of the key's field in the document. */
void *yaml_field(const struct yaml_key *key, void *document);

/* Fails with ERROR_INVALID and what the rule demands, without a place in front of the message. ""
 * gets no special treatment: only the rule decides whether it is accepted. */
int yaml_text_check(const struct yaml_text_rule *rule, const char *text, struct error *error);

/*
 * Fills a zeroed document with the defaults, then with the values of the map; KIND_NOTHING counts
 * as an empty map. Unknown keys, wrong kinds and bad values fail with ERROR_INVALID. The caller
 * frees the document with yaml_table_free, also after a failure.
 */
int yaml_table_read(const struct yaml_table *table, const struct yaml_tree *map, void *document,
                    struct error *error);

/*
 * Like yaml_table_read, for callers that must go on with a map that yaml_table_read refuses: each
 * bad value is replaced by its default, and unknown keys are ignored.
 */
void yaml_table_salvage(const struct yaml_table *table, const struct yaml_tree *map,
                        void *document);

/* Frees everything that the document's fields own. */
void yaml_table_free(const struct yaml_table *table, void *document);

#endif
