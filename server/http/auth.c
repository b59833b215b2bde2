/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/auth.h"

#include <stdio.h>
#include <string.h>

#include "server/base/context.h"
#include "server/http/refusal.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/net/gate.h"
#include "server/net/origin.h"
#include "store/base/clock.h"
#include "store/tables/guest.h"

enum refusal_reason auth_refusal_reason(enum token_verdict verdict)
{
    static const enum refusal_reason reasons[] = {
        [TOKEN_GOOD] = REFUSAL_NONE,
        [TOKEN_MALFORMED] = REFUSAL_MALFORMED_TOKEN,
        [TOKEN_UNKNOWN] = REFUSAL_UNKNOWN_TOKEN,
        [TOKEN_REVOKED] = REFUSAL_REVOKED_TOKEN,
        [TOKEN_EXPIRED] = REFUSAL_EXPIRED_TOKEN,
        [TOKEN_BEHIND] = REFUSAL_UNRECORDED_TOKEN,
    };
    return reasons[verdict];
}

/* After too many bad tokens of a source its further ones are refused with 429, and the connection
 * is closed, so that guessing costs a handshake each time. A good one never is, whoever else has
 * sent bad ones from the same guest. */
static bool auth_is_locked_out(struct context *context, const struct request *request,
                               struct reply *reply, struct refusal *refusal)
{
    uint32_t seconds = gate_locked_out(context->gate, request->peer);
    if (seconds == 0)
        return false;
    reply_later(reply, 429, seconds);
    reply->close = true;
    refusal->reason = REFUSAL_TOO_MANY_BAD_TOKENS;
    return true;
}

static void auth_refuse_token(struct context *context, const struct request *request,
                              const struct token_check *check, struct reply *reply,
                              struct refusal *refusal)
{
    if (auth_is_locked_out(context, request, reply, refusal))
        return;
    gate_count_failure(context->gate, request->peer);
    refusal->reason =
        request->token.length > 0 ? auth_refusal_reason(check->verdict) : REFUSAL_NO_TOKEN;
    refusal->vmid = check->vmid;
    (void)snprintf(refusal->detail, sizeof refusal->detail, "%s", check->id);
    reply_unauthorized(reply);
}

static int auth_look_up_token(struct context *context, const struct request *request,
                              struct token_check *ret, struct error *error)
{
    const struct presented_token *token = &request->token;
    if (store_borrow_view(context->stores, request->view, error) < 0)
        return -1;
    return token_check(request->view->store, token->text, token->length, clock_wall_ms(), ret,
                       error);
}

/* A token that is not on record may be one of a view, or of a file, that is older than the record:
 * then it is on record in the next view. */
static int auth_look_up_token_twice(struct context *context, const struct request *request,
                                    struct token_check *ret, struct error *error)
{
    if (auth_look_up_token(context, request, ret, error) < 0)
        return -1;
    if (ret->verdict != TOKEN_BEHIND)
        return 0;
    store_return(request->view);
    store_pool_look(context->stores);
    if (auth_look_up_token(context, request, ret, error) < 0)
        return -1;
    if (ret->verdict == TOKEN_BEHIND)
        context_doubt_store(context);
    return 0;
}

/* Fills in vmid and token_id of the request if the token is good. */
static bool auth_check_token(struct context *context, struct request *request, struct reply *reply,
                             struct refusal *refusal)
{
    struct error error;
    struct token_check check;
    if (auth_look_up_token_twice(context, request, &check, &error) < 0) {
        reply_internal_failure(reply, context, request->view, &error);
        return false;
    }
    if (check.verdict != TOKEN_GOOD) {
        auth_refuse_token(context, request, &check, reply, refusal);
        return false;
    }
    request->vmid = check.vmid;
    memcpy(request->token_id, check.id, sizeof check.id);
    return true;
}

static void auth_refuse_foreign(const struct request *request, enum refusal_reason reason,
                                const char *relation, uint32_t other, struct reply *reply,
                                struct refusal *refusal)
{
    reply_error(reply, 403, NULL);
    refusal->reason = reason;
    refusal->vmid = request->vmid;
    (void)snprintf(refusal->detail, sizeof refusal->detail, "%s of guest %u %s guest %u",
                   request->token_id, request->vmid, relation, other);
}

static bool auth_check_path(const struct request *request, struct reply *reply,
                            struct refusal *refusal)
{
    const struct destination *destination = &request->destination;
    if (!destination->has_vmid || destination->vmid == request->vmid)
        return true;
    auth_refuse_foreign(request, REFUSAL_FOREIGN_PATH, "asked about", destination->vmid, reply,
                        refusal);
    return false;
}

/* A failing look-up admits nobody. On another connection it may succeed. */
static bool auth_refuse_unknown(struct context *context, struct store_loan *loan,
                                const struct error *error, struct reply *reply,
                                struct refusal *refusal)
{
    reply_internal_failure(reply, context, loan, error);
    reply->close = true;
    refusal->reason = REFUSAL_LOOKUP_FAILED;
    return false;
}

/* Refuses a good token that did not come from its guest: another guest's, and from outside a token
 * whose guest has a port of its own here that it would have come through. */
static bool auth_check_origin(struct context *context, const struct request *request,
                              struct reply *reply, struct refusal *refusal)
{
    struct error error = {.kind = ERROR_NONE};
    const struct peer *peer = request->peer;
    bool has_port = false;
    switch (peer->identity) {
    case PEER_UNBOUND:
    case PEER_HOST:
        return true;
    case PEER_GUEST:
        if (peer->vmid == request->vmid)
            return true;
        break;
    case PEER_ROUTED:
        if (peer->vmid == request->vmid || !context->witness)
            return true;
        if (origin_has_port(request->view->store, request->vmid, &has_port, &error) < 0)
            return auth_refuse_unknown(context, request->view, &error, reply, refusal);
        if (!has_port)
            return true;
        break;
    case PEER_AMBIGUOUS:
        break;
    case PEER_UNKNOWN:
        (void)fail(&error, ERROR_SYSTEM, "it could not be found out who is asking");
        return auth_refuse_unknown(context, NULL, &error, reply, refusal);
    }
    auth_refuse_foreign(request, REFUSAL_FOREIGN_TOKEN, "came from", peer->vmid, reply, refusal);
    return false;
}

/* Whether the guest that the connection belongs to is no longer one of this host's: it was let in
 * as what it is no more. */
static bool auth_peer_is_gone(const struct request *request)
{
    struct error error;
    struct guest guest;
    return request->peer->identity == PEER_GUEST && request->view->store &&
           guest_find(request->view->store, request->peer->vmid, &guest, &error) < 0 &&
           error.kind == ERROR_MISSING;
}

/* The token is checked before anything else, so that without a good one a client cannot find out
 * which paths exist. The open paths are public. */
bool auth_admit(struct context *context, struct request *request, struct reply *reply,
                struct refusal *refusal)
{
    if (request->destination.open)
        return true;
    if (auth_check_token(context, request, reply, refusal) &&
        auth_check_path(request, reply, refusal) &&
        auth_check_origin(context, request, reply, refusal))
        return true;
    reply->close |= auth_peer_is_gone(request);
    return false;
}
