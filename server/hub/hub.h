/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hub: each guest's configuration is pulled for its customer, GET
 * {hub.url}/api/v1/config/{customer} with the guest's own retrieval password, and the host reports
 * itself, POST {hub.url}/api/v1/host-report with the host's key. Guests are answered from the store
 * alone.
 */
#ifndef FELHOM_HUB_H
#define FELHOM_HUB_H

#include "schema/agent/config.h"
#include "server/outbound/http_client.h"

struct agent;
struct hub;

struct hub *hub_start(struct agent *agent);

/* NULL is fine. */
void hub_stop(struct hub *hub);

/* Something was committed, perhaps an enrolment; or the settings are others. */
void hub_wake(struct hub *hub);

/* Requests to the hub as agent.yaml describes it. */

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
