/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results as one JSON value, shown either as that or as text made from it. Text is for people: what
 * a terminal could take for a command is shown as '?'.
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

/* Set a key of an object. Text that is not UTF-8 loses the bytes that are not ASCII. */
void output_put_text(json_t *object, const char *key, const char *text);
void output_put_int(json_t *object, const char *key, int64_t number);
void output_put_bool(json_t *object, const char *key, bool flag);
/* null for 0, as of what is about no guest. */
void output_put_vmid(json_t *object, const char *key, uint32_t vmid);
/* A time as YYYY-MM-DDTHH:MM:SSZ; null for 0. */
void output_put_time(json_t *object, const char *key, int64_t at_ms);

/* How a value is put into words. */
enum output_shape { SHAPE_PLAIN, SHAPE_AGE /* seconds */, SHAPE_SIZE /* bytes */ };

struct output_column {
    const char *title;
    const char *key;
    enum output_shape shape;
};

/* One row of a table whose columns have these widths. */
void output_row(FILE *out, const struct output_column *columns, const size_t *widths, size_t count,
                const json_t *row);

/* A table with one row per object of the array, with aligned columns. */
void output_table(FILE *out, const struct output_column *columns, size_t count, const json_t *rows);

/* The same below an empty line; nothing where there are no rows. */
void output_section(FILE *out, const struct output_column *columns, size_t count,
                    const json_t *rows);

/* "TITLE: VALUE" lines of one object; keys that it lacks or that are null are left out. */
void output_fields(FILE *out, const struct output_column *columns, size_t count,
                   const json_t *object);

/* The text with '?' for what a terminal could take for a command, "-" for none. To be freed with
 * free(). */
char *output_printable(const char *text);

/* The value itself in the form that was asked for, which is not text; keys in the order in which
 * they were put. JSON takes one line. */
void output_value(const struct invocation *invocation, json_t *value);

/* JSON values as YAML. */

/* The same value: texts stand in double quotes, so that none is taken for a number, a date or a
 * truth. The caller's to free with yaml_tree_free. */
struct yaml_tree *yaml_tree_of_json(json_t *value);

#endif
