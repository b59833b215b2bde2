/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a request: a flat JSON object of texts. */
#ifndef FELHOM_JSON_BODY_H
#define FELHOM_JSON_BODY_H

#include <stdbool.h>
#include <stddef.h>

#include "schema/base/error.h"

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
