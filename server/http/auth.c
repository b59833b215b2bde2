/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/auth.h"

#include <stdio.h>
#include <string.h>

#include "server/base/context.h"
#include "server/http/refusal.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/net/gate.h"
#include "store/base/clock.h"
#include "store/tables/guest.h"

/* False while this source may not present tokens, because too many tokens from it were bad. */
static bool auth_check_source(struct context *context, const struct request *request,
                              struct reply *reply, struct refusal *refusal)
{
    uint32_t seconds = gate_locked_out(context->gate, request->peer);
    if (seconds == 0)
        return true;
    reply_later(reply, 429, seconds);
    refusal->reason = REFUSAL_TOO_MANY_BAD_TOKENS;
    return false;
}

enum refusal_reason auth_refusal_reason(enum token_verdict verdict)
{
    static const enum refusal_reason reasons[] = {
        [TOKEN_GOOD] = REFUSAL_NONE,
        [TOKEN_MALFORMED] = REFUSAL_MALFORMED_TOKEN,
        [TOKEN_UNKNOWN] = REFUSAL_UNKNOWN_TOKEN,
        [TOKEN_REVOKED] = REFUSAL_REVOKED_TOKEN,
        [TOKEN_EXPIRED] = REFUSAL_EXPIRED_TOKEN,
    };
    return reasons[verdict];
}

static void auth_refuse_token(const struct request *request, const struct token_check *check,
                              struct reply *reply, struct refusal *refusal)
{
    refusal->reason =
        request->token.length > 0 ? auth_refusal_reason(check->verdict) : REFUSAL_NO_TOKEN;
    refusal->vmid = check->vmid;
    (void)snprintf(refusal->detail, sizeof refusal->detail, "%s", check->id);
    reply_unauthorized(reply);
}

/* Fills in vmid and token_id of the request if the token is good. */
static bool auth_check_token(struct context *context, struct request *request, struct reply *reply,
                             struct refusal *refusal)
{
    struct error error;
    struct token_check check;
    const struct presented_token *token = &request->token;
    if (store_borrow_view(context->stores, request->view, &error) < 0 ||
        token_check(request->view->store, token->text, token->length, clock_wall_ms(), &check,
                    &error) < 0) {
        reply_internal_failure(reply, context, request->view, &error);
        return false;
    }
    if (check.verdict != TOKEN_GOOD) {
        gate_count_failure(context->gate, request->peer);
        auth_refuse_token(request, &check, reply, refusal);
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

/* Refuses a token of another guest than the one that owns the hardware address. An address that
 * no guest owns was let in or refused by the gate already. */
static bool auth_check_hwaddr(struct context *context, const struct request *request,
                              struct reply *reply, struct refusal *refusal)
{
    struct error error;
    uint32_t owner;
    if (request->config->local_api.source_binding == BINDING_OFF || !request->peer->has_hwaddr)
        return true;
    if (nic_find_guest(request->view->store, &request->peer->hwaddr, request->vmid, &owner,
                       &error) < 0) {
        reply_internal_failure(reply, context, request->view, &error);
        return false;
    }
    if (owner == 0 || owner == request->vmid)
        return true;
    auth_refuse_foreign(request, REFUSAL_FOREIGN_TOKEN, "came from", owner, reply, refusal);
    return false;
}

/* The token is checked before anything else, so that without a good one a client cannot find out
 * which paths exist. The open paths are public. */
bool auth_admit(struct context *context, struct request *request, struct reply *reply,
                struct refusal *refusal)
{
    return request->destination.open || (auth_check_source(context, request, reply, refusal) &&
                                         auth_check_token(context, request, reply, refusal) &&
                                         auth_check_path(request, reply, refusal) &&
                                         auth_check_hwaddr(context, request, reply, refusal));
}
