/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/version.h"
#include "server/api/handlers.h"
#include "server/http/reply.h"

void healthz_get(struct agent *agent, const struct request *request, struct reply *reply)
{
    (void)agent;
    (void)request;
    reply_data(reply, 200, json_pack("{s:s, s:s}", "status", "ok", "version", FELHOM_VERSION));
}
