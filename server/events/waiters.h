/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that wait for an event (GET /events?timeout=N). A connection that waits is taken from its
 * CivetWeb thread and kept here, with all others, by one thread, which answers and closes it once
 * an event of its guest was committed or its time is up. The same thread receives the nudges (see
 * server/events/wakeup.h); without them it looks into the store once a second.
 */
#ifndef FELHOM_WAITERS_H
#define FELHOM_WAITERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/agent/token.h"
#include "schema/base/error.h"
#include "server/http/reply.h"

struct connection;
struct context;
struct waiters;

/* Who waits, for what, until when. */
struct wait_request {
    size_t endpoint; /* see struct destination */
    bool head;
    uint32_t vmid;
    char token_id[TOKEN_ID_LENGTH + 1];
    struct reply_wait wait;
};

/* Starts the thread. The context's jobs, hub and registry must be set (or NULL) by then, and stay
 * until its end. Ends with waiters_stop. */
int waiters_start(struct context *context, struct waiters **ret, struct error *error);

/* Answers all who wait, then ends the thread. NULL is fine. */
void waiters_stop(struct waiters *waiters);

/* Takes the connection from the calling worker, who is done with it. False if no more may wait, or
 * waiters is NULL: the caller answers at once. */
bool waiters_add(struct waiters *waiters, struct connection *connection,
                 const struct wait_request *request);

/* How many wait now, or are being answered after it. NULL is fine. */
uint32_t waiters_count(struct waiters *waiters);

/* Answers all who wait, and accepts no more until waiters_resume: to be called before a listener
 * ends, as their TLS sessions use it. Returns when all are closed. NULL is fine in both. */
void waiters_pause(struct waiters *waiters);
void waiters_resume(struct waiters *waiters);

#endif
