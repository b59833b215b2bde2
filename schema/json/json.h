/* SPDX-License-Identifier: Apache-2.0 */
/* Texts in and out of JSON documents. */
#ifndef FELHOM_JSON_TEXT_H
#define FELHOM_JSON_TEXT_H

#include <jansson.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"

/*
 * A JSON string (a new reference, never NULL) for any text: what is not UTF-8 in it becomes U+FFFD,
 * byte by byte, so that a strange file or host name cannot make a document fail.
 */
json_t *json_text(const char *text);

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

#endif
