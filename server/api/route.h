/* SPDX-License-Identifier: Apache-2.0 */
/* Which path is answered by whom. */
#ifndef FELHOM_ROUTE_H
#define FELHOM_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/buffer.h"

struct agent;
struct request;
struct reply;

struct route {
    const char *method; /* HEAD goes where GET goes */
    const char *path;
    bool open;  /* for callers without a token, too */
    bool views; /* it answers from request->view, and waits for nothing; the others have none, and
                   borrow for themselves */
    void (*handle)(struct agent *agent, const struct request *request, struct reply *reply);
};

/* What a path says, before anybody looked at who asks. */
struct destination {
    const char *path; /* without /guests/VMID; borrowed */
    bool has_vmid;    /* it stood there */
    uint32_t vmid;
    bool open; /* a token is not even looked at */
};

struct destination route_destination(const char *path);

/* NULL where no route has both. */
const struct route *route_find(const struct destination *destination, const char *method);

#define ROUTE_COUNT 14

/* The number of a path without /guests/VMID, and the path of a number; ROUTE_COUNT and "other" for
 * those that are unknown. */
size_t route_index(const char *path);
const char *route_path(size_t index);

/* Adds the methods of the path as the Allow header lists them; nothing where the path is unknown.
 */
void route_methods(const struct destination *destination, struct buffer *out);

#endif
