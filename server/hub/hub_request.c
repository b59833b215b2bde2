/* SPDX-License-Identifier: Apache-2.0 */
#include "server/hub/hub_request.h"

#include <string.h>

#include "schema/base/memory.h"

#define TIMEOUT_MS  20000
#define REPLY_LIMIT ((size_t)1 << 20)

static char *url_of(const char *base, const char *path)
{
    size_t length = strlen(base);
    while (length > 0 && base[length - 1] == '/')
        length--;
    return mem_format("%.*s/%s", (int)length, base, path);
}

int hub_request_perform(struct http_client *client, const struct config *config,
                        const struct hub_request *request, struct http_reply *ret,
                        struct error *error)
{
    cleanup_free char *url = url_of(config->hub.url, request->path);
    cleanup_buffer struct buffer header = BUFFER_EMPTY;
    const struct buffer *body = request->body;
    buffer_add_text(&header, request->credential);
    buffer_add_text(&header, request->secret);
    const char *const headers[] = {buffer_text(&header), NULL};
    const struct http_request http = {
        .method = body ? "POST" : "GET",
        .url = url,
        .ca_file = config->hub.ca_file,
        .headers = headers,
        .body_type = body ? "application/json" : NULL,
        .body = body ? buffer_text(body) : NULL,
        .body_length = body ? body->length : 0,
        .timeout_ms = TIMEOUT_MS,
        .reply_limit = REPLY_LIMIT,
    };
    return http_client_perform(client, &http, ret, error);
}
