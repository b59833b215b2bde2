/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and building JSON with jansson. Documents that we build cannot fail: texts that are not
 * valid UTF-8 are repaired, and the process ends when memory runs out. Documents that we read come
 * from outside and are checked for nesting depth and duplicate keys. json_wipe releases documents
 * that hold a secret.
 */
#ifndef FELHOM_JSON_H
#define FELHOM_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/error.h"

/*
 * Returns a JSON string (a new reference, never NULL) for any text. Each byte that is not valid
 * UTF-8 becomes U+FFFD, so that an odd file or host name cannot make a document fail.
 */
json_t *json_text(const char *text);

/* Return a new reference: null for NULL, for "" and for a negative number (not known). */
json_t *json_text_or_null(const char *text);
json_t *json_integer_or_null(int64_t number);

/*
 * Returns a new reference to a time as RFC 3339 text in UTC with whole seconds,
 * "2026-11-23T10:00:00Z". ms: milliseconds since 1970. Returns JSON null for 0 and less (time not
 * known) and for years beyond 9999.
 */
json_t *json_time(int64_t ms);

/* Like json_time, but with milliseconds: "2026-11-23T10:00:00.123Z". */
json_t *json_time_exact(int64_t ms);

/* Add the value to an array or an object and take over the caller's reference to it. If memory runs
 * out, the program ends, so a document is never incomplete. */
void json_append(json_t *array, json_t *value);
void json_set(json_t *object, const char *key, json_t *value);

/* Appends the value as text to out. flags: jansson's (JSON_INDENT(2), JSON_COMPACT and so on). */
void json_write(const json_t *value, size_t flags, struct buffer *out);

/* Wipes every string in the value and releases it: for documents that hold a secret. The caller
 * must hold the only reference. */
void json_wipe(json_t *value);

/* Releases the reference when the variable goes out of scope. */
static inline void cleanup_json_fn(json_t **json)
{
    json_decref(*json);
}
#define cleanup_json cleanup(cleanup_json_fn)

/* --- reading documents from outside --- */

/* Maximum nesting of arrays and objects. jansson's reader recurses, and worker threads have small
 * stacks. */
#define JSON_DEPTH_MAX 16

/*
 * Reads length bytes as one JSON value of any type. Input that is not JSON, has duplicate keys or
 * NUL characters, or is nested deeper than JSON_DEPTH_MAX fails with ERROR_INVALID. The caller
 * releases *ret with json_decref.
 */
int json_read(const char *text, size_t length, json_t **ret, struct error *error);

/* Return the text or the number at a key of the object, or the given default (otherwise) if the key
 * is missing or has another type. The object owns the text. */
const char *json_get_text(const json_t *object, const char *key, const char *otherwise);
json_int_t json_get_int(const json_t *object, const char *key, json_int_t otherwise);

/* --- the body of a request: a flat JSON object of texts --- */

/* A key that the body may contain. */
struct json_body_key {
    const char *name;
    bool required;
    size_t length_max; /* of the text, in bytes */
};

/*
 * Reads length bytes; an empty body counts as an empty object. ret_values[i] becomes a copy of the
 * text at keys[i], or NULL if the body does not have that key; the caller frees each with free().
 * Unknown keys, values that are not texts, texts that are too long or contain control characters,
 * and missing required keys fail with ERROR_INVALID and name the key; all of ret_values are NULL
 * then.
 */
int json_body_parse(const char *text, size_t length, const struct json_body_key *keys, size_t count,
                    char **ret_values, struct error *error);

#endif
