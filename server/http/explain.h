/* SPDX-License-Identifier: Apache-2.0 */
/* Remembers why requests were refused, for `felhomctl explain`: some of each source, however many
 * there are. To be called once the answer is out, so that the time it took tells nothing. */
#ifndef FELHOM_EXPLAIN_H
#define FELHOM_EXPLAIN_H

struct agent;
struct peer;
struct refusal;
struct reply;
struct request;
struct waiter;

/* Does nothing for answers that are no refusals. A request that could not even be read has no
 * peer of its own. */
void explain_request(struct agent *agent, const struct peer *peer, const struct request *request,
                     const struct reply *reply, const struct refusal *refusal);

/* For one that waited for an event, and got none for that. */
void explain_waiter(struct agent *agent, const struct peer *peer, const struct waiter *waiter,
                    const struct reply *reply, const struct refusal *refusal);

/* For one that CivetWeb made nothing of. */
void explain_malformed(struct agent *agent, const struct peer *peer, const struct reply *reply);

#endif
