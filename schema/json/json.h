/* SPDX-License-Identifier: Apache-2.0 */
/* Texts in and out of JSON documents. */
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
 * A JSON string (a new reference, never NULL) for any text: what is not UTF-8 in it becomes U+FFFD,
 * byte by byte, so that a strange file or host name cannot make a document fail.
 */
json_t *json_text(const char *text);

/* Milliseconds since 1970 as RFC 3339, UTC, whole seconds: "2026-11-23T10:00:00Z"; null for 0 and
 * less (not known) and for what has no year of four digits. A new reference. */
json_t *json_time(int64_t ms);

/* The same with the milliseconds: "2026-11-23T10:00:00.123Z". */
json_t *json_time_exact(int64_t ms);

/* Adds the value, whose reference it takes, to an array or an object. Where there is no memory for
 * it, as for any part, the program ends: a document is never incomplete. */
void json_append(json_t *array, json_t *value);
void json_set(json_t *object, const char *key, json_t *value);

/* Adds the value with jansson's flags (JSON_INDENT(2), JSON_COMPACT, ...). */
void json_write(const json_t *value, size_t flags, struct buffer *out);

/* Wipes every string in the value and releases it: for documents that carry a secret. The caller's
 * must be the only reference. */
void json_wipe(json_t *value);

/* Drops a reference at the end of its variable's scope. */
static inline void cleanup_json_fn(json_t **json)
{
    json_decref(*json);
}
#define cleanup_json cleanup(cleanup_json_fn)

/* JSON documents from outside. */

/* How deep arrays and objects may nest: the reader recurses, and a worker thread's stack is small.
 */
#define JSON_DEPTH_MAX 16

/*
 * Reads one JSON value (of any type) that fills length bytes. Duplicate keys, NUL characters and
 * deeper nesting than JSON_DEPTH_MAX fail with ERROR_INVALID, as what is no JSON does. *ret is the
 * caller's to json_decref.
 */
int json_read(const char *text, size_t length, json_t **ret, struct error *error);

/* The text or the number at key of an object; otherwise where there is none of that type. */
const char *json_get_text(const json_t *object, const char *key, const char *otherwise);
json_int_t json_get_int(const json_t *object, const char *key, json_int_t otherwise);

/* The body of a request: a flat JSON object of texts. */

/* A key that the body may have. */
struct json_body_key {
    const char *name;
    bool required;
    size_t length_max; /* of the text, in bytes */
};

/*
 * Reads length bytes; an empty body is an empty object. ret_values[i]: the text at keys[i], NULL
 * where it is not there; all are the caller's to free(). Unknown keys, other types, control
 * characters and missing required keys fail with ERROR_INVALID, naming the key; ret_values is all
 * NULL then.
 */
int json_body_parse(const char *text, size_t length, const struct json_body_key *keys, size_t count,
                    char **ret_values, struct error *error);

#endif
