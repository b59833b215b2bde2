/* SPDX-License-Identifier: Apache-2.0 */
/* The query of a request's path: NAME=NUMBER&NAME=NUMBER. */
#ifndef FELHOM_QUERY_H
#define FELHOM_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/error.h"

struct query_number {
    const char *name;
    int64_t max;
    int64_t value; /* beforehand: what it is where it is not given */
    bool given;
};

/* Fills the numbers from the query (NULL: there is none). ERROR_INVALID, which names the parameter,
 * for one that is unknown, given twice or no number from 0 to its max. */
int query_parse(const char *query, struct query_number *numbers, size_t count, struct error *error);

#endif
