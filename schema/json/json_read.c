/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/json/json_read.h"

#include "schema/base/text.h"

/* What the scan below has seen so far. */
struct scan {
    int depth;
    bool in_text;
    bool escaped;
};

static void scan_text(struct scan *scan, char c)
{
    if (scan->escaped)
        scan->escaped = false;
    else if (c == '\\')
        scan->escaped = true;
    else if (c == '"')
        scan->in_text = false;
}

static void scan_structure(struct scan *scan, char c)
{
    if (c == '"')
        scan->in_text = true;
    else if (c == '[' || c == '{')
        scan->depth++;
    else if (c == ']' || c == '}')
        scan->depth--;
}

/* Judges nothing but depth: whether it is JSON at all is jansson's to say, which would go 2048 deep
 * to find out. */
static bool is_too_deep(const char *text, size_t length)
{
    struct scan scan = {0};
    for (size_t i = 0; i < length && scan.depth <= JSON_DEPTH_MAX; i++) {
        if (scan.in_text)
            scan_text(&scan, text[i]);
        else
            scan_structure(&scan, text[i]);
    }
    return scan.depth > JSON_DEPTH_MAX;
}

int json_read(const char *text, size_t length, json_t **ret, struct error *error)
{
    json_error_t problem;
    char shown[JSON_ERROR_TEXT_LENGTH];
    if (is_too_deep(text, length))
        return fail(error, ERROR_INVALID, "JSON nested deeper than %d", JSON_DEPTH_MAX);
    json_t *value = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
    if (!value) {
        /* It quotes what it stumbled over. */
        shown_text(shown, sizeof shown, problem.text);
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
