/* SPDX-License-Identifier: Apache-2.0 */
/* Refused requests in the audit trail: at most one a minute for each source and reason, with how
 * many it stands for. And how many of them are remembered one by one. */
#ifndef FELHOM_REFUSAL_H
#define FELHOM_REFUSAL_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/store_pool.h"
#include "server/net/peer.h"

/* Why a request, or a connection, was refused. */
struct refusal {
    const char
        *reason;      /* one of a fixed few texts, "revoked token", ...; NULL: it was not refused */
    uint32_t vmid;    /* the guest whose token it was; 0: of none that we know */
    char detail[128]; /* more in words; never a secret */
};

struct refusals;

struct refusals *refusals_new(void);
void refusals_free(struct refusals *refusals);

/* How many refusals are to be told of now, this one included; 0: not yet. */
uint32_t refusals_count(struct refusals *refusals, const struct peer *peer, const char *reason,
                        int64_t now_us);

/*
 * Whether why this one was refused is to be remembered: ten of each source, then one every six
 * seconds, and not more than four a second of all. The reason makes no difference, so that none can
 * be told from how long the next request takes.
 */
bool refusals_may_explain(struct refusals *refusals, const struct peer *peer, int64_t now_us);

/* Writes count refusals as one event and one line of the log. */
void refusal_tell(struct store_pool *stores, const struct peer *peer, const struct refusal *refusal,
                  uint32_t count);

/* Remembers why requests were refused, for `felhomctl explain`: some of each source, however many
 * there are. To be called once the answer is out, so that the time it took tells nothing. */

struct context;
struct peer;
struct refusal;
struct reply;
struct request;

/* Does nothing for answers that are no refusals. A request that could not even be read has no
 * peer of its own. */
void explain_request(struct context *context, const struct peer *peer,
                     const struct request *request, const struct reply *reply,
                     const struct refusal *refusal);

/* What remains known of a request that waited for an event. The texts are borrowed. */
struct asked {
    const char *method;
    const char *path;
    uint32_t vmid;
    const char *token_id;
};

/* For one that waited for an event, and got none for that. */
void explain_waited(struct context *context, const struct peer *peer, const struct asked *asked,
                    const struct reply *reply, const struct refusal *refusal);

/* For one that CivetWeb made nothing of. */
void explain_malformed(struct context *context, const struct peer *peer, const struct reply *reply);

#endif
