/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest is told of its events. */
#ifndef FELHOM_EVENTS_H
#define FELHOM_EVENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/base/cleanup.h"
#include "schema/base/error.h"
#include "server/http/reply.h"
#include "store/db/store.h"

/* A guest's events after a cursor. */
struct events {
    uint32_t vmid;
    json_t *list;
    int64_t next; /* the cursor for those that come after them */
    bool reset;   /* the cursor was of another store: these are all there are */
};

void events_free(struct events *events);
#define cleanup_events cleanup(events_free)

/* Finds those with seq > since, as many as go into one answer. The caller frees *ret. */
int events_find(struct store *store, uint32_t vmid, int64_t since, struct events *ret,
                struct error *error);

/* Whether the guest is to hear of it even if it would rather wait. */
bool events_are_news(const struct events *events);

void events_tell(const struct events *events, struct reply *reply);

#endif
