/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the operator learns of refused requests and connections:
 * - an event and a line of the log, at most one a minute for each source and reason, with how many
 *   refusals it stands for;
 * - for some of each source, however many there are, an explanation that `felhomctl explain` finds
 *   by the request's id.
 * Both are written once the answer is out, so that the time it took tells a client nothing.
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
    uint32_t vmid;    /* the guest whose token it was; 0: no guest's that we know */
    char detail[128]; /* more in words; never a secret */
};

/* What was logged and explained so far. Has a fixed size, and a lock of its own. */
struct refusals;

struct refusals *refusals_new(void);
void refusals_free(struct refusals *refusals);

/* Returns how many refusals to log now, including this one; 0 while rate-limited. */
uint32_t refusals_count(struct refusals *refusals, const struct peer *peer,
                        enum refusal_reason reason, int64_t now_us);

/*
 * True if this refusal may be explained: ten of each source, then one every six seconds, and at
 * most four a second of all sources. The reason makes no difference, so that nobody can tell it
 * from how long the next request takes.
 */
bool refusals_may_explain(struct refusals *refusals, const struct peer *peer, int64_t now_us);

/* Writes count refusals as one event and one line of the log. */
void refusal_log(struct store_pool *stores, const struct peer *peer, const struct refusal *refusal,
                 uint32_t count);

/* Logs, counts and explains the refusal of a request; an error status without a refusal is
 * explained alone. A request that could not even be read has no peer of its own. Does nothing for
 * other answers. */
void refusal_report(struct context *context, const struct peer *peer, const struct request *request,
                    const struct reply *reply, const struct refusal *refusal);

/* What remains known of a request that waited for an event. The texts are borrowed. */
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
