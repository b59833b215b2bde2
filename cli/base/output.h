/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output of verbs. A verb builds its result as one JSON value; it is printed as JSON, as YAML, or
 * as text (fields and tables) for people. In text, control characters, which a terminal could take
 * for a command, are shown as '?'.
 */
#ifndef FELHOM_OUTPUT_H
#define FELHOM_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/base/verb.h"
#include "schema/base/error.h"
#include "schema/json/json.h"
#include "schema/yaml/tree.h"

/* These set a key of an object. In text that is not UTF-8, bytes that are not ASCII become '?'. */
void output_put_text(json_t *object, const char *key, const char *text);
/* Sets several texts: KEY, TEXT, KEY, TEXT and so on. */
#define output_put_texts(object, ...) \
    output_put_pairs(object, (const char *const[]){__VA_ARGS__, NULL})
void output_put_pairs(json_t *object, const char *const *pairs);
void output_put_int(json_t *object, const char *key, int64_t number);
void output_put_bool(json_t *object, const char *key, bool flag);
/* Sets null for 0, which means no guest. */
void output_put_vmid(json_t *object, const char *key, uint32_t vmid);
/* Sets a time as YYYY-MM-DDTHH:MM:SSZ; null for 0. */
void output_put_time(json_t *object, const char *key, int64_t at_ms);

/* How text shows a number. */
enum output_shape { SHAPE_PLAIN, SHAPE_AGE /* seconds */, SHAPE_SIZE /* bytes */ };

struct output_column {
    const char *title;
    const char *key;
    enum output_shape shape;
};

/* Prints one row of a table whose columns have these widths. */
void output_row(FILE *out, const struct output_column *columns, const size_t *widths, size_t count,
                const json_t *row);

/* Prints titles and one row for each object of the array, with aligned columns. */
void output_table(FILE *out, const struct output_column *columns, size_t count, const json_t *rows);

/* Prints the same after an empty line, or nothing if there are no rows. */
void output_section(FILE *out, const struct output_column *columns, size_t count,
                    const json_t *rows);

/* Prints a line "TITLE: VALUE" for each column; keys that are missing or null are left out. */
void output_fields(FILE *out, const struct output_column *columns, size_t count,
                   const json_t *object);

/* Returns the text, safe to show (text_mask); "-" for "". The caller frees it. */
char *output_printable(const char *text);

/* Prints the value as JSON (one line, or pretty) or YAML, whichever format the invocation has. Keys
 * keep the order in which they were set. For OUTPUT_TEXT prints nothing and returns false: the
 * caller prints the text. */
bool output_value(const struct invocation *invocation, json_t *value);

/* Returns the value as YAML. Texts are double-quoted, so that none is read as a number, date or
 * boolean. The caller frees it with yaml_tree_free. */
struct yaml_tree *output_to_yaml(json_t *value);

#endif
