/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/base/output.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/json/json.h"

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789_"

/* Returns true if YAML takes the word for a boolean or for null. */
static bool is_word_of_yaml(const char *key)
{
    static const char *const words[] = {"y",   "n",    "yes",   "no",  "on",
                                        "off", "true", "false", "null"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strcmp(words[i], key) == 0)
            return true;
    return false;
}

/* Our own keys need no quotes; keys from a guest's configuration may contain any character. */
static struct yaml_tree *key_of(const char *key)
{
    bool plain = key[0] >= 'a' && key[0] <= 'z' && strspn(key, NAME_LETTERS) == strlen(key) &&
                 !is_word_of_yaml(key);
    return plain ? yaml_tree_new_plain(key) : yaml_tree_new_text(key);
}

static struct yaml_tree *map_of(json_t *object)
{
    struct yaml_tree *map = yaml_tree_new(YAML_TREE_MAP);
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        yaml_tree_append(map, key_of(json_object_iter_key(at)));
        yaml_tree_append(map, output_to_yaml(json_object_iter_value(at)));
    }
    return map;
}

static struct yaml_tree *sequence_of(const json_t *array)
{
    struct yaml_tree *sequence = yaml_tree_new(YAML_TREE_SEQUENCE);
    for (size_t i = 0; i < json_array_size(array); i++)
        yaml_tree_append(sequence, output_to_yaml(json_array_get(array, i)));
    return sequence;
}

/* Numbers, booleans and null are written in YAML as in JSON. */
static struct yaml_tree *plain_of(const json_t *value)
{
    cleanup_free char *text = json_dumps(value, JSON_ENCODE_ANY);
    if (!text)
        mem_exhausted();
    return yaml_tree_new_plain(text);
}

struct yaml_tree *output_to_yaml(json_t *value)
{
    if (json_is_object(value))
        return map_of(value);
    if (json_is_array(value))
        return sequence_of(value);
    return json_is_string(value) ? yaml_tree_new_text(json_string_value(value)) : plain_of(value);
}

#define NOTHING    "-"
#define COLUMN_GAP 2

/* Proxmox writes ASCII, but a file edited by hand may contain any byte. */
static json_t *latin_text(const char *text)
{
    cleanup_free char *copy = mem_copy_text(text);
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    return json_string(copy);
}

void output_put_text(json_t *object, const char *key, const char *text)
{
    json_t *value = json_string(text);
    json_set(object, key, value ? value : latin_text(text));
}

void output_put_pairs(json_t *object, const char *const *pairs)
{
    for (; *pairs; pairs += 2)
        output_put_text(object, pairs[0], pairs[1]);
}

void output_put_int(json_t *object, const char *key, int64_t number)
{
    json_set(object, key, json_integer(number));
}

void output_put_bool(json_t *object, const char *key, bool flag)
{
    json_set(object, key, json_boolean(flag));
}

void output_put_vmid(json_t *object, const char *key, uint32_t vmid)
{
    json_set(object, key, vmid ? json_integer(vmid) : json_null());
}

void output_put_time(json_t *object, const char *key, int64_t at_ms)
{
    char text[sizeof "YYYYYYYY-MM-DDTHH:MM:SSZ"];
    struct tm parts;
    time_t seconds = at_ms / 1000;
    bool known = at_ms != 0 && gmtime_r(&seconds, &parts) &&
                 strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) > 0;
    json_set(object, key, known ? json_string(text) : json_null());
}

static char *age_text(int64_t seconds)
{
    static const struct {
        int64_t size;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "m"}};
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (seconds >= units[i].size)
            return mem_format("%" PRId64 "%s", seconds / units[i].size, units[i].name);
    return mem_format("%" PRId64 "s", seconds);
}

static char *size_text(int64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double size = (double)bytes;
    size_t i = 0;
    if (bytes < 0)
        return mem_copy_text(NOTHING);
    for (; size >= 1024 && i + 1 < ARRAY_SIZE(units); i++)
        size /= 1024;
    return mem_format("%.4g %s", size, units[i]);
}

static char *number_text(int64_t number, enum output_shape shape)
{
    if (shape == SHAPE_AGE)
        return age_text(number);
    return shape == SHAPE_SIZE ? size_text(number) : mem_format("%" PRId64, number);
}

char *output_printable(const char *text)
{
    char *copy = mem_copy_text(*text ? text : NOTHING);
    text_mask(copy);
    return copy;
}

/* The caller frees the result with free(). */
static char *value_text(const json_t *value, enum output_shape shape)
{
    if (json_is_string(value))
        return output_printable(json_string_value(value));
    if (json_is_integer(value))
        return number_text(json_integer_value(value), shape);
    if (json_is_boolean(value))
        return mem_copy_text(json_is_true(value) ? "yes" : "no");
    return mem_copy_text(NOTHING);
}

static char *cell_text(const json_t *row, const struct output_column *column)
{
    return value_text(json_object_get(row, column->key), column->shape);
}

static size_t column_width(const struct output_column *column, const json_t *rows)
{
    size_t width = strlen(column->title);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        cleanup_free char *text = cell_text(json_array_get(rows, i), column);
        if (strlen(text) > width)
            width = strlen(text);
    }
    return width;
}

static void print_cell(FILE *out, const char *text, size_t width, bool last)
{
    if (last)
        (void)fprintf(out, "%s\n", text);
    else
        (void)fprintf(out, "%-*s", (int)width + COLUMN_GAP, text);
}

void output_row(FILE *out, const struct output_column *columns, const size_t *widths, size_t count,
                const json_t *row)
{
    for (size_t i = 0; i < count; i++) {
        cleanup_free char *text = cell_text(row, &columns[i]);
        print_cell(out, text, widths[i], i + 1 == count);
    }
}

void output_table(FILE *out, const struct output_column *columns, size_t count, const json_t *rows)
{
    cleanup_free size_t *widths = mem_new_array(count, sizeof *widths);
    for (size_t i = 0; i < count; i++) {
        widths[i] = column_width(&columns[i], rows);
        print_cell(out, columns[i].title, widths[i], i + 1 == count);
    }
    for (size_t row = 0; row < json_array_size(rows); row++)
        output_row(out, columns, widths, count, json_array_get(rows, row));
}

void output_section(FILE *out, const struct output_column *columns, size_t count,
                    const json_t *rows)
{
    if (json_array_size(rows) == 0)
        return;
    (void)fputc('\n', out);
    output_table(out, columns, count, rows);
}

void output_fields(FILE *out, const struct output_column *columns, size_t count,
                   const json_t *object)
{
    size_t width = 0;
    for (size_t i = 0; i < count; i++)
        if (strlen(columns[i].title) > width)
            width = strlen(columns[i].title);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_object_get(object, columns[i].key);
        if (!value || json_is_null(value))
            continue;
        cleanup_free char *title = mem_format("%s:", columns[i].title);
        cleanup_free char *text = value_text(value, columns[i].shape);
        (void)fprintf(out, "%-*s %s\n", (int)width + 1, title, text);
    }
}

static void print_json(FILE *out, const json_t *value, size_t flags)
{
    if (json_dumpf(value, out, flags) == 0)
        (void)fputc('\n', out);
}

/* JSON strings are UTF-8, so emitting them can only fail for lack of memory. */
static void print_yaml(FILE *out, json_t *value)
{
    struct error error;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup_yaml_tree struct yaml_tree *tree = output_to_yaml(value);
    if (yaml_tree_emit(tree, &text, &error) < 0)
        mem_exhausted();
    (void)fputs(buffer_text(&text), out);
}

bool output_value(const struct invocation *invocation, json_t *value)
{
    switch (invocation->format) {
    case OUTPUT_TEXT:
        return false;
    case OUTPUT_YAML:
        print_yaml(invocation->out, value);
        break;
    case OUTPUT_JSON:
        print_json(invocation->out, value, JSON_COMPACT);
        break;
    case OUTPUT_JSON_PRETTY:
        print_json(invocation->out, value, JSON_INDENT(2));
        break;
    }
    return true;
}
