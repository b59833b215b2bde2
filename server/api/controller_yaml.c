/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/cleanup.h"
#include "server/agent.h"
#include "server/api/handlers.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "store/base/log.h"
#include "store/documents/controller_parts.h"
#include "store/identity/rollover.h"
#include "store/tables/guest.h"

static int gather(struct agent *agent, const struct request *request,
                  struct controller_parts *parts, struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(agent->stores, &loan, error) == 0 &&
        host_get(loan.store, &parts->host, error) == 0 &&
        rollover_coming_pins(request->setup->config.paths.state, &parts->host.pins, &parts->coming,
                             error) == 0 &&
        guest_get_enrolment(loan.store, parts->vmid, &parts->enrolment_text, error) == 0 &&
        controller_parts_complete(&request->setup->config, loan.store, parts, error) == 0)
        return 0;
    /* A document of the operator's that is at fault leaves the store as good as it was. */
    if (error->kind != ERROR_INVALID)
        store_loan_failed(&loan, error);
    return -1;
}

static int render(struct agent *agent, const struct request *request, struct buffer *out,
                  struct error *error)
{
    struct error left_out;
    cleanup(controller_parts_free) struct controller_parts parts = {.vmid = request->vmid};
    cleanup_buffer struct buffer token = BUFFER_EMPTY;
    buffer_add(&token, request->token.text, request->token.length);
    if (gather(agent, request, &parts, error) < 0 ||
        controller_parts_render(&request->setup->config, &parts, buffer_text(&token), out,
                                &left_out, error) < 0)
        return -1;
    if (left_out.kind != ERROR_NONE)
        throttled_log_guest(&agent->log, LOG_WARNING, request->vmid, "hub",
                            "guest %u: controller.yaml is made without the hub: %s", request->vmid,
                            left_out.message);
    return 0;
}

void controller_yaml_get(struct agent *agent, const struct request *request, struct reply *reply)
{
    struct error error;
    if (render(agent, request, &reply->body, &error) < 0) {
        agent_fail(agent, NULL, &error, reply);
        return;
    }
    yaml_document_answer(request, reply);
}
