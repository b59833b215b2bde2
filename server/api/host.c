/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/host.h"
#include "schema/base/memory.h"
#include "schema/base/version.h"
#include "server/agent.h"
#include "server/api/handlers.h"
#include "server/api/openapi_document.h"
#include "server/base/host_figures.h"
#include "server/http/reply.h"
#include "server/http/request.h"

void healthz_get(struct agent *agent, const struct request *request, struct reply *reply)
{
    (void)agent;
    (void)request;
    reply_data(reply, 200, json_pack("{s:s, s:s}", "status", "ok", "version", FELHOM_VERSION));
}

void openapi_yaml_get(struct agent *agent, const struct request *request, struct reply *reply)
{
    (void)agent;
    buffer_add_text(&reply->body, openapi_document);
    yaml_document_answer(request, reply);
}

/* The figures are read after the loan's end: files may take their time. */
static int read_host(struct agent *agent, struct host *ret, struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(agent->stores, &loan, error) == 0 && host_get(loan.store, ret, error) == 0)
        return 0;
    store_loan_failed(&loan, error);
    return -1;
}

void host_metrics_get(struct agent *agent, const struct request *request, struct reply *reply)
{
    struct error error;
    struct host host;
    if (read_host(agent, &host, &error) < 0) {
        agent_fail(agent, NULL, &error, reply);
        return;
    }
    json_t *figures = host_figures_describe(agent->figures, &request->setup->config, host.node);
    json_t *data = json_pack("{s:I}", "vmid", (json_int_t)request->vmid);
    if (json_object_update(data, figures) < 0)
        mem_exhausted();
    json_decref(figures);
    reply_data(reply, 200, data);
}
