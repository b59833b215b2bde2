/* SPDX-License-Identifier: Apache-2.0 */
/* Whose token is it? */
#ifndef FELHOM_AUTHENTICATE_H
#define FELHOM_AUTHENTICATE_H

#include <stdbool.h>

#include "store/tables/token.h"

struct context;
struct refusal;
struct reply;
struct request;

/* Whether the source has presented too many bad tokens to be listened to: *reply is 429 then. */
bool is_locked_out(struct context *context, const struct request *request, struct reply *reply,
                   struct refusal *refusal);

/* The reason of a refusal for this verdict; NULL for a good token. */
const char *authenticate_reason(enum token_verdict verdict);

/*
 * Fills the request's vmid and token_id from the token that it presents, as request->view knows it.
 * False: *reply is 401, the same for every kind of bad token, or 503, and *refusal says which.
 */
bool authenticate(struct context *context, struct request *request, struct reply *reply,
                  struct refusal *refusal);

/* Is the request made by the guest whose token it presents, and for that guest? */

struct context;
struct refusal;
struct reply;
struct request;

/* False where the path names another guest than the token's: *reply is 403. */
bool binding_of_path(const struct request *request, struct reply *reply, struct refusal *refusal);

/* False where the peer's hardware address is another enrolled guest's: *reply is 403, or 503. */
bool binding_of_source(struct context *context, const struct request *request, struct reply *reply,
                       struct refusal *refusal);

#endif
