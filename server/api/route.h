/* SPDX-License-Identifier: Apache-2.0 */
/* Which path is answered by whom. */
#ifndef FELHOM_ROUTE_H
#define FELHOM_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/buffer.h"
#include "server/base/counters.h"
#include "server/http/request.h"

struct context;
struct reply;

struct route {
    const char *method; /* HEAD goes where GET goes */
    const char *path;
    bool open;  /* for callers without a token, too */
    bool views; /* it answers from request->view, and waits for nothing; the others have none, and
                   borrow for themselves */
    void (*handle)(struct context *context, const struct request *request, struct reply *reply);
};

/* Finds out where path and method lead. path may be NULL: it leads nowhere. */
struct destination route_resolve(const char *path, const char *method);

#define ROUTE_COUNT COUNTERS_ENDPOINTS

/* The path of an endpoint's number (struct destination); "other" for ROUTE_COUNT. */
const char *route_path(size_t endpoint);

/* Adds the methods of the destination's path as the Allow header lists them; nothing where there is
 * no such path. */
void route_methods(const struct destination *destination, struct buffer *out);

#endif
