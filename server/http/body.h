/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON body of a request. */
#ifndef FELHOM_BODY_H
#define FELHOM_BODY_H

#include <stdbool.h>
#include <stddef.h>

#include "schema/json/json.h"

struct request;
struct reply;

/*
 * Reads the body by these keys (schema/json/json.h: *ret_values are the caller's to free).
 * False where it cannot be: the reply then says why, 415 where a body is not sent as
 * application/json, else 400.
 */
bool body_read(const struct request *request, const struct json_body_key *keys, size_t count,
               char **ret_values, struct reply *reply);

#endif
