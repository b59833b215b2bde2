/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides for which guest a request speaks, and whether it may be answered. The request presents a
 * token and speaks for the guest to which the token was given. The path must not name another
 * guest, and the connection must not come from the hardware address of another guest. Any request
 * thread may call these functions.
 */
#ifndef FELHOM_AUTH_H
#define FELHOM_AUTH_H

#include <stdbool.h>

#include "server/base/counters.h"
#include "store/tables/token.h"

struct context;
struct refusal;
struct reply;
struct request;

/*
 * True if the request may be answered. Borrows request->view and fills in vmid and token_id, except
 * for an open path, which needs no token. Otherwise *reply is the answer (429, 401, 403, or 503 if
 * the store fails) and *refusal says why; the 401 is the same for every kind of bad token.
 */
bool auth_admit(struct context *context, struct request *request, struct reply *reply,
                struct refusal *refusal);

/* Returns why a token of this verdict is refused; REFUSAL_NONE for a good one. */
enum refusal_reason auth_refusal_reason(enum token_verdict verdict);

#endif
