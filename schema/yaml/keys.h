/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents described by a table: one row a key, saying where its value goes, what it may be and
 * what it is when the document does not say. The readers of agent.yaml and of an enrolment are such
 * tables.
 */
#ifndef FELHOM_YAML_KEYS_H
#define FELHOM_YAML_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/error.h"
#include "schema/yaml/tree.h"

struct yaml_key;

/* Puts a value of its type's kind (a list or map may be KIND_NOTHING) into its field. */
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
    const char *path; /* dotted: section.key */
    const struct yaml_type *type;
    size_t offset;        /* of its field in the document */
    const char *standard; /* the default in the document's words; NULL: an empty list or map */
    union {
        const struct yaml_text_rule *text;
        const char *const *words; /* until NULL */
        struct {
            uint64_t least, most;
        } bounds; /* a duration's in milliseconds */
    } rule;
};

struct yaml_table {
    const struct yaml_key *keys;
    size_t count;
};

/* A char * that its rule accepts; "" too where that is the default. Wiped when released. */
extern const struct yaml_type yaml_text;
/* A char * that is one of the words. */
extern const struct yaml_type yaml_choice;
/* An enum whose values number the words from 0. */
extern const struct yaml_type yaml_enum;
/* A uint32_t within bounds. */
extern const struct yaml_type yaml_count;
/* A uint64_t of milliseconds within bounds. */
extern const struct yaml_type yaml_duration;
/* Any map, left alone. */
extern const struct yaml_type yaml_anything;

/* Where a key's value goes. */
void *yaml_field(const struct yaml_key *key, void *document);

/* Fails with what the rule wants, and nothing in front. "" is a text like any other here. */
int yaml_text_check(const struct yaml_text_rule *rule, const char *text, struct error *error);

/*
 * Fills a zeroed document with defaults, then with what the map says; nothing is an empty map.
 * Refuses unknown keys, wrong kinds and bad values. Even on failure the document is the caller's to
 * free with yaml_table_free.
 */
int yaml_table_read(const struct yaml_table *table, const struct yaml_tree *map, void *document,
                    struct error *error);

/*
 * The same of what is good, for whoever has to go on with a map that yaml_table_read refuses: what
 * is not is as if it were left out.
 */
void yaml_table_salvage(const struct yaml_table *table, const struct yaml_tree *map,
                        void *document);

/* Frees what a document's fields own. */
void yaml_table_free(const struct yaml_table *table, void *document);

#endif
