/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/yaml_document.h"

#include "server/http/etag.h"
#include "server/http/reply.h"
#include "server/http/request.h"

static bool is_known(const struct request *request, const char *etag)
{
    const char *value;
    for (size_t i = 0; (value = request_header(request, "If-None-Match", i)); i++) {
        if (etag_matches(value, etag))
            return true;
    }
    return false;
}

void yaml_document_answer(const struct request *request, struct reply *reply)
{
    char etag[ETAG_SIZE];
    etag_make(&reply->body, etag);
    reply_header(reply, "ETag", etag);
    reply->status = is_known(request, etag) ? 304 : 200;
    reply->type = reply->status == 200 ? "application/yaml" : NULL;
}
