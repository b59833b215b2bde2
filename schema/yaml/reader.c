/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/yaml/reader.h"

#include <search.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"

#define SIZE_LIMIT  (MIB)
#define DEPTH_LIMIT 64

struct reader {
    yaml_parser_t parser;
    const char *name;
    const char *text;
    char path[64]; /* of the value being read, dotted, for messages; cut when longer */
    size_t depth;
    struct error *error;
};

static void reader_free(struct reader *reader)
{
    yaml_parser_delete(&reader->parser);
}

void yaml_value_free(struct yaml_value *value)
{
    for (size_t i = 0; i < value->count; i++) {
        free(value->entries[i].key);
        yaml_value_free(&value->entries[i].value);
    }
    free(value->entries);
    free(value->text);
    *value = (struct yaml_value){.kind = KIND_NOTHING};
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

const char *yaml_kind_name(enum yaml_kind kind)
{
    static const char *const names[] = {"nothing", "a text", "a list", "a map"};
    return names[kind];
}

static struct yaml_place place_of(const struct reader *reader, const yaml_mark_t *mark)
{
    return (struct yaml_place){reader->name, mark->line + 1, mark->column + 1};
}

/* For bytes that are no text libyaml knows the offset alone. */
static struct yaml_place place_of_offset(const struct reader *reader, size_t offset)
{
    struct yaml_place place = {reader->name, 1, 1};
    for (size_t i = 0; i < offset; i++) {
        bool continues = ((unsigned char)reader->text[i] & 0xC0) == 0x80;
        if (reader->text[i] == '\n')
            place = (struct yaml_place){reader->name, place.line + 1, 1};
        else if (!continues)
            place.column++;
    }
    return place;
}

static int refuse_syntax(const struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        mem_exhausted();
    struct yaml_place place = parser->error == YAML_READER_ERROR
                                  ? place_of_offset(reader, parser->problem_offset)
                                  : place_of(reader, &parser->problem_mark);
    return yaml_refuse(&place, NULL, reader->error, "%s%s%s",
                       parser->context ? parser->context : "", parser->context ? ": " : "",
                       parser->problem);
}

static int refuse_event(const struct reader *reader, const yaml_event_t *event, const char *why)
{
    struct yaml_place place = place_of(reader, &event->start_mark);
    return yaml_refuse(&place, NULL, reader->error, "%s", why);
}

/* What YAML can do and a settings file does not need, or NULL. */
static const char *excess_of(const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;
    if (event->type == YAML_ALIAS_EVENT) {
        anchor = event->data.alias.anchor;
    } else if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (anchor)
        return "anchors and aliases are not allowed here; write the value out";
    return tag ? "tags are not allowed here; leave the tag out" : NULL;
}

static bool holds_nul(const yaml_event_t *event)
{
    return event->type == YAML_SCALAR_EVENT &&
           memchr(event->data.scalar.value, '\0', event->data.scalar.length);
}

/* The next event, which is the caller's to free even on failure. */
static int next_event(struct reader *reader, yaml_event_t *event)
{
    if (!yaml_parser_parse(&reader->parser, event))
        return refuse_syntax(reader);
    const char *excess = excess_of(event);
    if (excess)
        return refuse_event(reader, event, excess);
    if (holds_nul(event))
        return refuse_event(reader, event, "a text cannot hold a NUL character");
    return 0;
}

static bool is_null(const yaml_event_t *event)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (!strcmp((const char *)event->data.scalar.value, words[i]))
            return true;
    return false;
}

static char *scalar_text(const yaml_event_t *event)
{
    return mem_copy_text_n((const char *)event->data.scalar.value, event->data.scalar.length);
}

/* Grows at powers of two. Texts stay where they are: no copy of a secret is left behind. */
static struct yaml_entry *new_entry(struct yaml_value *value)
{
    if ((value->count & (value->count - 1)) == 0)
        value->entries =
            mem_resize(value->entries, value->count ? value->count * 2 : 1, sizeof *value->entries);
    struct yaml_entry *entry = &value->entries[value->count++];
    *entry = (struct yaml_entry){.key = NULL};
    return entry;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void keep(void *key)
{
    (void)key;
}

static void key_set_free(void **set)
{
    tdestroy(*set, keep);
}

static bool key_is_new(void **set, const char *key)
{
    const char *const *found = tsearch(key, set, compare_keys);
    if (!found)
        mem_exhausted();
    return *found == key;
}

static void enter(struct reader *reader, const char *key)
{
    size_t length = strlen(reader->path);
    (void)snprintf(reader->path + length, sizeof reader->path - length, "%s%s", length ? "." : "",
                   key);
}

static int read_key(struct reader *reader, const yaml_event_t *event, void **seen,
                    struct yaml_entry *entry)
{
    if (event->type != YAML_SCALAR_EVENT)
        return refuse_event(reader, event, "a key must be a text");
    entry->key = scalar_text(event);
    entry->key_place = place_of(reader, &event->start_mark);
    enter(reader, entry->key);
    if (!key_is_new(seen, entry->key))
        return yaml_refuse(&entry->key_place, reader->path, reader->error,
                           "this key is there twice in the same map");
    return 0;
}

static int read_value(struct reader *reader, const yaml_event_t *event, struct yaml_value *value);

static int read_next_value(struct reader *reader, struct yaml_value *value)
{
    cleanup(yaml_event_delete) yaml_event_t event = {.type = YAML_NO_EVENT};
    if (next_event(reader, &event))
        return -1;
    return read_value(reader, &event, value);
}

static bool ends_collection(const yaml_event_t *event)
{
    return event->type == YAML_MAPPING_END_EVENT || event->type == YAML_SEQUENCE_END_EVENT;
}

/* One entry of a list or map, or its end. */
static int read_entry(struct reader *reader, struct yaml_value *value, void **seen, bool *ret_end)
{
    cleanup(yaml_event_delete) yaml_event_t event = {.type = YAML_NO_EVENT};
    if (next_event(reader, &event))
        return -1;
    *ret_end = ends_collection(&event);
    if (*ret_end)
        return 0;
    struct yaml_entry *entry = new_entry(value);
    if (value->kind == KIND_LIST)
        return read_value(reader, &event, &entry->value);
    size_t outside = strlen(reader->path);
    if (read_key(reader, &event, seen, entry) || read_next_value(reader, &entry->value))
        return -1;
    reader->path[outside] = '\0';
    return 0;
}

static int read_collection(struct reader *reader, const yaml_event_t *event,
                           struct yaml_value *value)
{
    cleanup(key_set_free) void *seen = NULL;
    bool end = false;
    if (++reader->depth > DEPTH_LIMIT)
        return refuse_event(reader, event, "nested too deeply");
    while (!end)
        if (read_entry(reader, value, &seen, &end))
            return -1;
    reader->depth--;
    return 0;
}

static int read_value(struct reader *reader, const yaml_event_t *event, struct yaml_value *value)
{
    value->place = place_of(reader, &event->start_mark);
    if (event->type == YAML_SCALAR_EVENT) {
        value->kind = is_null(event) ? KIND_NOTHING : KIND_TEXT;
        value->text = scalar_text(event);
        return 0;
    }
    value->kind = event->type == YAML_MAPPING_START_EVENT ? KIND_MAP : KIND_LIST;
    return read_collection(reader, event, value);
}

/* Reads the only document, if there is one, and the end of the stream. */
static int read_stream(struct reader *reader, struct yaml_value *value)
{
    bool read = false;
    for (;;) {
        cleanup(yaml_event_delete) yaml_event_t event = {.type = YAML_NO_EVENT};
        if (next_event(reader, &event))
            return -1;
        if (event.type == YAML_STREAM_END_EVENT)
            return 0;
        if (event.type != YAML_DOCUMENT_START_EVENT)
            continue;
        if (read)
            return refuse_event(reader, &event, "there must be only one document in the file");
        read = true;
        if (read_next_value(reader, value))
            return -1;
    }
}

int yaml_read(const char *name, const char *text, size_t length, struct yaml_value *ret,
              struct error *error)
{
    struct yaml_place start = {name, 1, 1};
    if (length > SIZE_LIMIT)
        return yaml_refuse(&start, NULL, error, "the document is larger than 1 MiB");
    cleanup(reader_free) struct reader reader = {.name = name, .text = text, .error = error};
    if (!yaml_parser_initialize(&reader.parser))
        mem_exhausted();
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)(length ? text : ""),
                                 length);
    cleanup(yaml_value_free) struct yaml_value value = {.kind = KIND_NOTHING, .place = start};
    if (read_stream(&reader, &value))
        return -1;
    *ret = value;
    value = (struct yaml_value){.kind = KIND_NOTHING};
    return 0;
}

static const struct yaml_value *find_component(const struct yaml_value *map, const char *key,
                                               size_t length)
{
    if (map->kind != KIND_MAP)
        return NULL;
    for (size_t i = 0; i < map->count; i++)
        if (strlen(map->entries[i].key) == length && !memcmp(map->entries[i].key, key, length))
            return &map->entries[i].value;
    return NULL;
}

const struct yaml_value *yaml_find(const struct yaml_value *map, const char *path)
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
