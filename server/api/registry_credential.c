/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /registry-credential: a credential for the container registry. server/registry mints it or
 * reads it from a file; this file limits how often a guest may ask, and turns failures into
 * replies.
 */
#include "schema/json/json.h"
#include "server/api/route.h"
#include "server/base/context.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/registry/registry.h"

/* Wipes the JSON value, so that the token does not stay in freed memory. */
static void registry_reply(const struct registry_credential *credential, struct reply *reply)
{
    json_t *data = json_pack("{s:o, s:o, s:o, s:n}", "host", json_text(credential->host),
                             "username", json_text(credential->username), "token",
                             json_text(buffer_text(&credential->token)), "expires_at");
    reply_data(reply, 200, json_incref(data));
    json_wipe(data);
}

static void registry_reply_failure(struct context *context, const struct error *error,
                                   struct reply *reply)
{
    switch (error->kind) {
    case ERROR_MISSING:
        reply_error(reply, 404, error->message);
        break;
    case ERROR_BUSY:
    case ERROR_CONFLICT:
    case ERROR_DENIED:
        reply_upstream_failure(reply, context, error);
        break;
    default:
        reply_internal_failure(reply, context, NULL, error);
    }
}

void registry_get(struct context *context, const struct request *request, struct reply *reply)
{
    struct error error;
    cleanup(registry_credential_free) struct registry_credential credential = {0};
    const struct config *config = request->config;
    uint32_t early_seconds = registry_early_seconds(context->registry, config, request->vmid);
    if (early_seconds > 0)
        reply_later(reply, 429, early_seconds);
    else if (registry_credential_get(context->registry, config, request->vmid,
                                     request_deadline_us(request), &credential, &error) == 0)
        registry_reply(&credential, reply);
    else
        registry_reply_failure(context, &error, reply);
}
