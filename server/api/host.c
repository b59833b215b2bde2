/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /host/metrics and GET /healthz: the figures of the host (base/host_figures), and whether
 * felhomd answers.
 */
#include "store/host/host.h"
#include "schema/base/memory.h"
#include "schema/base/version.h"
#include "server/api/handlers.h"
#include "server/base/context.h"
#include "server/base/host_figures.h"
#include "server/http/reply.h"
#include "server/http/request.h"

void healthz_get(struct context *context, const struct request *request, struct reply *reply)
{
    (void)context;
    (void)request;
    reply_data(reply, 200, json_pack("{s:s, s:s}", "status", "ok", "version", FELHOM_VERSION));
}

/* Reads the host and returns the store at once, because reading the figures may take long. */
static int read_host(struct context *context, struct host *ret, struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(context->stores, &loan, error) == 0 && host_get(loan.store, ret, error) == 0)
        return 0;
    store_loan_failed(&loan, error);
    return -1;
}

void host_metrics_get(struct context *context, const struct request *request, struct reply *reply)
{
    struct error error;
    struct host host;
    if (read_host(context, &host, &error) < 0) {
        reply_internal_failure(reply, context, NULL, &error);
        return;
    }
    json_t *figures = host_figures_describe(context->figures, request->config, host.node);
    json_t *data = json_pack("{s:I}", "vmid", (json_int_t)request->vmid);
    if (json_object_update(data, figures) < 0)
        mem_exhausted();
    json_decref(figures);
    reply_data(reply, 200, data);
}
