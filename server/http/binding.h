/* SPDX-License-Identifier: Apache-2.0 */
/* Is the request made by the guest whose token it presents, and for that guest? */
#ifndef FELHOM_BINDING_H
#define FELHOM_BINDING_H

#include <stdbool.h>

struct agent;
struct destination;
struct refusal;
struct reply;
struct request;

/* False where the path names another guest than the token's: *reply is 403. */
bool binding_of_path(const struct destination *destination, const struct request *request,
                     struct reply *reply, struct refusal *refusal);

/* False where the peer's hardware address is another enrolled guest's: *reply is 403, or 503. */
bool binding_of_source(struct agent *agent, const struct request *request, struct reply *reply,
                       struct refusal *refusal);

#endif
