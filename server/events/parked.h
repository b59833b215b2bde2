/* SPDX-License-Identifier: Apache-2.0 */
/* A connection without a thread, whose guest waits for an event. */
#ifndef FELHOM_PARKED_H
#define FELHOM_PARKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/agent/token.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"
#include "server/http/refusal.h"
#include "server/http/reply.h"
#include "server/net/connection.h"
#include "store/db/store.h"

/* Who waits, for what, until when. */
struct waiter {
    size_t endpoint; /* by route_index */
    uint32_t vmid;
    char token_id[TOKEN_ID_LENGTH + 1];
    struct reply_wait wait;
    bool head;
};

struct parked {
    struct parked *next; /* on its way to the watch's thread */
    struct detached connection;
    struct waiter waiter;
    int64_t deadline_us; /* of the wait; once there is an answer, of its sending */
    bool due;            /* there may be something for it */
    struct buffer answer;
    size_t sent;
};

/* Takes the connection over; ends with parked_free, which closes it. */
struct parked *parked_new(const struct detached *connection, const struct waiter *waiter);
void parked_free(struct parked *parked);

/* Looks for what there is to answer: 1 with *reply filled, 0 if the guest goes on waiting, which it
 * does not where final; -1 on failure. A token that is good no more gets no event, but is refused.
 */
int parked_find_answer(const struct parked *parked, struct store *store, bool final,
                       struct reply *reply, struct refusal *refusal, struct error *error);

/* From here on it is being answered. */
void parked_answer(struct parked *parked, const struct reply *reply, int64_t deadline_us);
bool parked_is_answered(const struct parked *parked);

/* Sends what goes out without waiting: 1 when all is sent, 0 if there is more, -1 on failure. */
int parked_send(struct parked *parked);

#endif
