/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the operator is told about refused requests and connections:
 * - an event and a line in the log, at most once a minute for each source and reason, with the
 *   number of refusals that they stand for;
 * - an explanation, which `felhomctl explain` finds by the id of the request, for some refusals of
 *   each source, however many there are.
 *
 * Both are written after the reply was sent, so that the time until the reply tells a client
 * nothing. Any thread may call these functions.
 */
#ifndef FELHOM_REFUSAL_H
#define FELHOM_REFUSAL_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/counters.h"
#include "server/base/store_pool.h"
#include "server/net/peer.h"

struct context;
struct reply;
struct request;

/* Why a request or a connection was refused. Zero-initialise. */
struct refusal {
    enum refusal_reason reason;
    uint32_t vmid;    /* the guest that owns the token; 0: not known */
    char detail[128]; /* more detail, for the operator; never a secret */
};

/* When refusals were last logged and explained: of guests, and apart from them of all others. Has a
 * fixed size and its own lock. */
struct refusals;

struct refusals *refusals_new(void);
void refusals_free(struct refusals *refusals);

/* Counts a refusal of this source for this reason. Returns how many refusals to log now,
 * including this one; 0 while rate-limited. now_us by clock_steady_us. */
uint32_t refusals_count(struct refusals *refusals, const struct peer *peer,
                        enum refusal_reason reason, int64_t now_us);

/*
 * True if this refusal may be explained, which uses up one explanation: each source has ten and
 * gains one every six seconds; all guests together have 240 and gain four a second, and so do all
 * others together. The reason for the refusal makes no difference, so that a client cannot infer
 * the reason from how long its next request takes. now_us by clock_steady_us.
 */
bool refusals_may_explain(struct refusals *refusals, const struct peer *peer, int64_t now_us);

/* Writes one event and one line in the log that stand for count refusals. */
void refusal_log(struct store_pool *stores, const struct peer *peer, const struct refusal *refusal,
                 uint32_t count);

/* Reports how a request was answered. A refused request is counted, logged and explained; a
 * reply with an error status but no refusal is only explained; any other reply is not reported.
 * peer is passed apart from the request, because request->peer is not set if the request could not
 * be read. */
void refusal_report(struct context *context, const struct peer *peer, const struct request *request,
                    const struct reply *reply, const struct refusal *refusal);

/* What is still known about a request that waited for an event. The texts are borrowed. */
struct asked {
    const char *method;
    const char *path;
    uint32_t vmid;
    const char *token_id;
};

/* Explains why a request that waited for an event got an error instead. */
void refusal_explain_waited(struct context *context, const struct peer *peer,
                            const struct asked *asked, const struct reply *reply,
                            const struct refusal *refusal);

/* Explains the refusal of a request that CivetWeb could not read. */
void refusal_explain_malformed(struct context *context, const struct peer *peer,
                               const struct reply *reply);

#endif
