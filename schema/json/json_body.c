/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/json/json_body.h"

#include <ctype.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/json/json.h"
#include "schema/json/json_read.h"

static const struct json_body_key *find_key(const struct json_body_key *keys, size_t count,
                                            const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    }
    return NULL;
}

/* A strange name is quoted in an answer, but never at its full length. */
static int fail_unknown(const char *name, struct error *error)
{
    char shown[64];
    shown_text(shown, sizeof shown, name);
    return fail(error, ERROR_INVALID, "%s: unknown key", shown);
}

static bool has_control(const char *text)
{
    for (; *text; text++) {
        if (iscntrl((unsigned char)*text))
            return true;
    }
    return false;
}

static int check_value(const struct json_body_key *key, const json_t *value, struct error *error)
{
    if (!json_is_string(value))
        return fail(error, ERROR_INVALID, "%s: must be a text", key->name);
    if (json_string_length(value) > key->length_max)
        return fail(error, ERROR_INVALID, "%s: longer than %zu bytes", key->name, key->length_max);
    if (has_control(json_string_value(value)))
        return fail(error, ERROR_INVALID, "%s: has a control character", key->name);
    return 0;
}

static int check_members(json_t *object, const struct json_body_key *keys, size_t count,
                         struct error *error)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        const struct json_body_key *key = find_key(keys, count, name);
        if (!key)
            return fail_unknown(name, error);
        if (check_value(key, value, error) < 0)
            return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (keys[i].required && !json_object_get(object, keys[i].name))
            return fail(error, ERROR_INVALID, "%s: is missing", keys[i].name);
    }
    return 0;
}

static void take_values(const json_t *object, const struct json_body_key *keys, size_t count,
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
    if (check_members(object, keys, count, error) < 0)
        return -1;
    take_values(object, keys, count, ret_values);
    return 0;
}
