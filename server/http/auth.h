/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose request is it, and may it be answered? A request presents a token; the token's guest is the
 * one it speaks for. The path must not name another guest, and the connection must not come from
 * another guest's hardware address.
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
 * True if the request may be answered. Borrows request->view and, unless the path is open, fills
 * vmid and token_id. Otherwise *reply is the answer (429, 401, 403, or 503 where the store fails)
 * and *refusal says why; the 401 is the same for every kind of bad token.
 */
bool auth_admit(struct context *context, struct request *request, struct reply *reply,
                struct refusal *refusal);

/* Why a token of this verdict is refused; REFUSAL_NONE for a good one. */
enum refusal_reason auth_refusal_reason(enum token_verdict verdict);

#endif
