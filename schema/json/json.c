/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/json/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"

/* Checks the nesting depth only. jansson checks the rest, but would itself recurse up to 2048
 * levels. */
static bool is_too_deep(const char *text, size_t length)
{
    int depth = 0;
    bool in_text = false;
    for (size_t i = 0; i < length && depth <= JSON_DEPTH_MAX; i++) {
        if (in_text && text[i] == '\\')
            i++; /* the character after it ends no text */
        else if (text[i] == '"')
            in_text = !in_text;
        else if (!in_text)
            depth += text_is_one_of(text[i], "[{") - text_is_one_of(text[i], "]}");
    }
    return depth > JSON_DEPTH_MAX;
}

int json_read(const char *text, size_t length, json_t **ret, struct error *error)
{
    json_error_t problem;
    char shown[JSON_ERROR_TEXT_LENGTH];
    if (is_too_deep(text, length))
        return fail(error, ERROR_INVALID, "JSON nested deeper than %d", JSON_DEPTH_MAX);
    json_t *value = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
    if (!value) {
        /* jansson's message quotes the input. */
        text_show(shown, sizeof shown, problem.text);
        return fail(error, ERROR_INVALID, "not JSON: line %d column %d: %s", problem.line,
                    problem.column, shown);
    }
    *ret = value;
    return 0;
}

const char *json_get_text(const json_t *object, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : otherwise;
}

json_int_t json_get_int(const json_t *object, const char *key, json_int_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

static const struct json_body_key *body_key_find(const struct json_body_key *keys, size_t count,
                                                 const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    }
    return NULL;
}

/* The reply quotes the unknown key, but cut to a sensible length. */
static int body_fail_unknown_key(const char *name, struct error *error)
{
    char shown[64];
    text_show(shown, sizeof shown, name);
    return fail(error, ERROR_INVALID, "%s: unknown key", shown);
}

static int body_check_value(const struct json_body_key *key, const json_t *value,
                            struct error *error)
{
    if (!json_is_string(value))
        return fail(error, ERROR_INVALID, "%s: must be a text", key->name);
    if (json_string_length(value) > key->length_max)
        return fail(error, ERROR_INVALID, "%s: longer than %zu bytes", key->name, key->length_max);
    if (text_has_control(json_string_value(value)))
        return fail(error, ERROR_INVALID, "%s: has a control character", key->name);
    return 0;
}

static int body_check_members(json_t *object, const struct json_body_key *keys, size_t count,
                              struct error *error)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        const struct json_body_key *key = body_key_find(keys, count, name);
        if (!key)
            return body_fail_unknown_key(name, error);
        if (body_check_value(key, value, error) < 0)
            return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (keys[i].required && !json_object_get(object, keys[i].name))
            return fail(error, ERROR_INVALID, "%s: is missing", keys[i].name);
    }
    return 0;
}

static void body_copy_values(const json_t *object, const struct json_body_key *keys, size_t count,
                             char **ret_values)
{
    for (size_t i = 0; i < count; i++) {
        const char *text = json_get_text(object, keys[i].name, NULL);
        ret_values[i] = text ? mem_copy_text(text) : NULL;
    }
}

int json_body_parse(const char *text, size_t length, const struct json_body_key *keys, size_t count,
                    char **ret_values, struct error *error)
{
    cleanup_json json_t *object = NULL;
    for (size_t i = 0; i < count; i++)
        ret_values[i] = NULL;
    if (length == 0)
        object = json_object();
    else if (json_read(text, length, &object, error) < 0)
        return -1;
    if (!json_is_object(object))
        return fail(error, ERROR_INVALID, "the body must be a JSON object");
    if (body_check_members(object, keys, count, error) < 0)
        return -1;
    body_copy_values(object, keys, count, ret_values);
    return 0;
}

#define REPLACEMENT "\xEF\xBF\xBD"

static void add_mended(const char *text, struct buffer *out)
{
    while (*text) {
        size_t length = text_character(text);
        if (length)
            buffer_add(out, text, length);
        else
            buffer_add_text(out, REPLACEMENT);
        text += length ? length : 1;
    }
}

static json_t *mended_text(const char *text)
{
    cleanup_buffer struct buffer mended = BUFFER_EMPTY;
    add_mended(text, &mended);
    return json_stringn(buffer_text(&mended), mended.length);
}

json_t *json_text(const char *text)
{
    json_t *value = json_string(text); /* NULL if the text is not UTF-8 */
    if (!value)
        value = mended_text(text);
    if (!value)
        mem_exhausted();
    return value;
}

json_t *json_text_or_null(const char *text)
{
    return text && *text ? json_text(text) : json_null();
}

json_t *json_integer_or_null(int64_t number)
{
    return number < 0 ? json_null() : json_integer(number);
}

#define LAST_SECOND INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

/* Formats the second of ms as RFC 3339 without a time zone, followed by rest. */
static json_t *time_to_json(int64_t ms, const char *rest)
{
    char text[40];
    struct tm parts;
    const time_t seconds = ms / 1000;
    if (ms <= 0 || seconds > LAST_SECOND || !gmtime_r(&seconds, &parts))
        return json_null();
    size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(text + length, sizeof text - length, "%s", rest);
    return json_text(text);
}

json_t *json_time(int64_t ms)
{
    return time_to_json(ms, "Z");
}

json_t *json_time_exact(int64_t ms)
{
    char rest[8];
    (void)snprintf(rest, sizeof rest, ".%03dZ", ms > 0 ? (int)(ms % 1000) : 0);
    return time_to_json(ms, rest);
}

void json_append(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) < 0)
        mem_exhausted();
}

void json_set(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) < 0)
        mem_exhausted();
}

static int append_dumped(const char *bytes, size_t length, void *out)
{
    buffer_add(out, bytes, length);
    return 0;
}

void json_write(const json_t *value, size_t flags, struct buffer *out)
{
    if (json_dump_callback(value, append_dumped, out, flags) != 0)
        mem_exhausted();
}

static void wipe_strings(json_t *value)
{
    for (void *i = json_object_iter(value); i; i = json_object_iter_next(value, i))
        wipe_strings(json_object_iter_value(i));
    for (size_t i = 0; i < json_array_size(value); i++)
        wipe_strings(json_array_get(value, i));
    /* The string belongs to jansson and is freed right after this; nobody reads it again. */
    if (json_is_string(value))
        explicit_bzero((char *)json_string_value(value), json_string_length(value));
}

void json_wipe(json_t *value)
{
    wipe_strings(value);
    json_decref(value);
}
