/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api/handlers.h"
#include "server/api/openapi_document.h"
#include "server/http/reply.h"

void openapi_yaml_get(struct agent *agent, const struct request *request, struct reply *reply)
{
    (void)agent;
    buffer_add_text(&reply->body, openapi_document);
    yaml_document_answer(request, reply);
}
