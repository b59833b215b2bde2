/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the hub as agent.yaml describes it. */
#ifndef FELHOM_HUB_REQUEST_H
#define FELHOM_HUB_REQUEST_H

#include "schema/agent/config.h"
#include "server/outbound/http_client.h"

struct hub_request {
    const char *path;       /* below hub.url, without a slash in front */
    const char *credential; /* the header that carries it, up to and with its blank */
    const char *secret;
    const struct buffer *body; /* JSON, to be posted; NULL: a GET */
};

/* As http_client_perform. The reply may be as large as a configuration may be. */
int hub_request_perform(struct http_client *client, const struct config *config,
                        const struct hub_request *request, struct http_reply *ret,
                        struct error *error);

#endif
