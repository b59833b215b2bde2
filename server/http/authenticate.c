/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/authenticate.h"

#include <stdio.h>
#include <string.h>

#include "server/base/context.h"
#include "server/http/refusal.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/net/gate.h"
#include "store/base/clock.h"
#include "store/tables/guest.h"
#include "store/tables/token.h"

static void refuse(const struct request *request, const char *reason, const char *relation,
                   uint32_t other, struct reply *reply, struct refusal *refusal)
{
    reply_error(reply, 403, NULL);
    refusal->reason = reason;
    refusal->vmid = request->vmid;
    (void)snprintf(refusal->detail, sizeof refusal->detail, "%s of guest %u %s guest %u",
                   request->token_id, request->vmid, relation, other);
}

bool binding_of_path(const struct request *request, struct reply *reply, struct refusal *refusal)
{
    const struct destination *destination = &request->destination;
    if (!destination->has_vmid || destination->vmid == request->vmid)
        return true;
    refuse(request, "path of another guest", "asked about", destination->vmid, reply, refusal);
    return false;
}

bool binding_of_source(struct context *context, const struct request *request, struct reply *reply,
                       struct refusal *refusal)
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
    refuse(request, "token of another guest", "came from", owner, reply, refusal);
    return false;
}

bool is_locked_out(struct context *context, const struct request *request, struct reply *reply,
                   struct refusal *refusal)
{
    uint32_t seconds = gate_locked_out(context->gate, request->peer);
    if (seconds == 0)
        return false;
    reply_later(reply, 429, seconds);
    refusal->reason = "too many bad tokens";
    return true;
}

const char *authenticate_reason(enum token_verdict verdict)
{
    static const char *const reasons[] = {
        [TOKEN_MALFORMED] = "malformed token",
        [TOKEN_UNKNOWN] = "unknown token",
        [TOKEN_REVOKED] = "revoked token",
        [TOKEN_EXPIRED] = "expired token",
    };
    return reasons[verdict];
}

static void describe(const struct request *request, const struct token_check *check,
                     struct refusal *refusal)
{
    refusal->reason = request->token.length > 0 ? authenticate_reason(check->verdict) : "no token";
    refusal->vmid = check->vmid;
    (void)snprintf(refusal->detail, sizeof refusal->detail, "%s", check->id);
}

bool authenticate(struct context *context, struct request *request, struct reply *reply,
                  struct refusal *refusal)
{
    struct error error;
    struct token_check check;
    const struct presented_token *token = &request->token;
    if (token_check(request->view->store, token->text, token->length, clock_wall_ms(), &check,
                    &error) < 0) {
        reply_internal_failure(reply, context, request->view, &error);
        return false;
    }
    if (check.verdict == TOKEN_GOOD) {
        request->vmid = check.vmid;
        memcpy(request->token_id, check.id, sizeof check.id);
        return true;
    }
    gate_count_failure(context->gate, request->peer);
    describe(request, &check, refusal);
    reply_unauthorized(reply);
    return false;
}
