/* SPDX-License-Identifier: Apache-2.0 */
/* The table of paths: which handler (api/handlers.h) answers which method and path. answer.c
 * looks a request up once, with route_resolve, and keeps the result in request->destination. The
 * number of the path (endpoint) also selects the counters of the metrics. The table is constant, so
 * any thread may call these functions. */
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
    const char *method; /* never HEAD: HEAD is answered as GET */
    const char *path;
    bool open;  /* needs no token */
    bool views; /* the handler reads from request->view and waits for nothing. Other handlers have
                   no view, and borrow a store themselves */
    void (*handle)(struct context *context, const struct request *request, struct reply *reply);
};

/* Finds the route of path and method. If path is NULL or unknown, the result has no route. path
 * is borrowed. */
struct destination route_resolve(const char *path, const char *method);

#define ROUTE_COUNT COUNTERS_ENDPOINTS

/* Returns the path of this endpoint number (struct destination); "other" for ROUTE_COUNT. */
const char *route_path(size_t endpoint);

/* Adds to out the methods that the path has, as the Allow header lists them; nothing if there is
 * no such path. */
void route_methods(const struct destination *destination, struct buffer *out);

#endif
