/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/json/json.h"
#include "server/agent.h"
#include "server/api/handlers.h"
#include "server/http/request.h"
#include "server/registry/registry.h"

/* Nothing of the token stays in freed memory. */
static void answer(const struct registry_credential *credential, struct reply *reply)
{
    json_t *data = json_pack("{s:o, s:o, s:o, s:n}", "host", json_text(credential->host),
                             "username", json_text(credential->username), "token",
                             json_text(buffer_text(&credential->token)), "expires_at");
    reply_data(reply, 200, json_incref(data));
    json_wipe(data);
}

static void answer_failure(struct agent *agent, const struct error *error, struct reply *reply)
{
    switch (error->kind) {
    case ERROR_MISSING:
        reply_error(reply, 404, error->message);
        break;
    case ERROR_BUSY:
    case ERROR_CONFLICT:
    case ERROR_DENIED:
        agent_outside_fail(agent, error, reply);
        break;
    default:
        agent_fail(agent, NULL, error, reply);
    }
}

void registry_get(struct agent *agent, const struct request *request, struct reply *reply)
{
    struct error error;
    cleanup(registry_credential_free) struct registry_credential credential = {0};
    const struct config *config = &request->setup->config;
    uint32_t early_seconds = registry_early_seconds(agent->registry, config, request->vmid);
    if (early_seconds > 0)
        reply_later(reply, 429, early_seconds);
    else if (registry_credential_get(agent->registry, config, request->vmid,
                                     agent_request_deadline_us(request), &credential, &error) == 0)
        answer(&credential, reply);
    else
        answer_failure(agent, &error, reply);
}
