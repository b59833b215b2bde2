/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /host/metrics and GET /healthz: the figures of the host (base/host_figures), and whether
 * felhomd answers and can read its store.
 */
#include "store/host/host.h"
#include "schema/base/memory.h"
#include "schema/base/version.h"
#include "server/api/route.h"
#include "server/base/context.h"
#include "server/base/host_figures.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "store/base/log.h"

#define RETRY_SECONDS "5"

void healthz_get(struct context *context, const struct request *request, struct reply *reply)
{
    struct error error;
    (void)request;
    if (store_pool_check(context->stores, &error) < 0) {
        throttled_log_line(&context->log, LOG_ERR, "felhomd cannot read its store: %s",
                           error.message);
        reply_error(reply, 503, "felhomd cannot read its store");
        reply_header(reply, "Retry-After", RETRY_SECONDS);
        return;
    }
    reply_data(reply, 200, json_pack("{s:s, s:s}", "status", "ok", "version", FELHOM_VERSION));
}

void host_metrics_get(struct context *context, const struct request *request, struct reply *reply)
{
    struct error error;
    struct host host;
    if (store_pool_read_host(context->stores, &host, &error) < 0) {
        reply_internal_failure(reply, context, NULL, &error);
        return;
    }
    /* No store is borrowed while the figures are read, because that may take long. */
    json_t *figures = host_figures_describe(context->figures, request->config, host.node);
    json_t *data = json_pack("{s:I}", "vmid", (json_int_t)request->vmid);
    if (json_object_update(data, figures) < 0)
        mem_exhausted();
    json_decref(figures);
    reply_data(reply, 200, data);
}
