/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of guests that wait for an event (GET /events?timeout=N).
 *
 * A connection that waits is taken from its request thread and kept, with all others, by one
 * thread, the waiters' thread. It answers and closes the connection once an event of the guest was
 * committed or the time is up. Events are noticed because whoever commits one sends a nudge
 * (events/wakeup.h); without nudges the thread looks into the store once a second. Except for
 * waiters_start and waiters_stop, any thread may call these functions.
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

/* A request that waits: of which guest, for which event, until when. */
struct wait_request {
    size_t endpoint; /* the number of its path, see struct destination */
    bool head;
    uint32_t vmid;
    char token_id[TOKEN_ID_LENGTH + 1];
    struct reply_wait wait;
};

/* Starts the waiters' thread. The context's jobs, hub and registry must be set by then (or stay
 * NULL), and must live until waiters_stop, because the thread wakes them. Ends with waiters_stop.
 */
int waiters_start(struct context *context, struct waiters **ret, struct error *error);

/* Answers all requests that wait, then ends the thread. NULL is allowed. */
void waiters_stop(struct waiters *waiters);

/* Takes the connection over from the calling request thread, which must not use it any more.
 * False if no more may wait, or waiters is NULL: then the caller keeps the connection and answers
 * at once. */
bool waiters_add(struct waiters *waiters, struct connection *connection,
                 const struct wait_request *request);

/* Returns how many connections wait or are being answered. NULL is allowed. */
uint32_t waiters_count(struct waiters *waiters);

/* waiters_pause answers all requests that wait and returns when their connections are closed;
 * until waiters_resume waiters_add returns false. To be called before a listener is stopped,
 * because the TLS sessions of the connections use it. NULL is allowed in both. */
void waiters_pause(struct waiters *waiters);
void waiters_resume(struct waiters *waiters);

#endif
