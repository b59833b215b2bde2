/* SPDX-License-Identifier: Apache-2.0 */
/* JSON documents from outside. */
#ifndef FELHOM_JSON_READ_H
#define FELHOM_JSON_READ_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "schema/base/error.h"

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

#endif
