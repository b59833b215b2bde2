/* SPDX-License-Identifier: Apache-2.0 */
#include "server/answer.h"

#include <civetweb.h>
#include <string.h>

#include "server/agent.h"
#include "server/api/route.h"
#include "server/events/parked.h"
#include "server/events/watch.h"
#include "server/http/authenticate.h"
#include "server/http/refusal.h"
#include "server/http/request.h"
#include "server/net/connection.h"
#include "store/base/clock.h"

static bool is_readable(struct mg_connection *connection, struct request *request,
                        struct reply *reply)
{
    const struct connection *ours = mg_get_thread_pointer(connection);
    int status = request_parse(mg_get_request_info(connection), request);
    if (status == 0)
        status = request_measure(request, tls_request_size(ours->session));
    if (status == 0)
        status = request_read_body(connection, request);
    if (status == 0)
        return true;
    reply_error(reply, status, NULL);
    reply->close = true;
    return false;
}

static bool is_within_rate(struct agent *agent, const struct request *request, struct reply *reply,
                           struct refusal *refusal)
{
    uint32_t seconds = gate_count_request(agent->gate, request->peer);
    if (seconds == 0)
        return true;
    reply_later(reply, 429, seconds);
    refusal->reason = "too many requests";
    return false;
}

static bool is_own(struct agent *agent, const struct destination *destination,
                   struct request *request, struct reply *reply, struct refusal *refusal)
{
    struct error error;
    if (store_borrow_view(agent->stores, request->view, &error) < 0) {
        agent_fail(agent, request->view, &error, reply);
        return false;
    }
    return authenticate(agent, request, reply, refusal) &&
           binding_of_path(destination, request, reply, refusal) &&
           binding_of_source(agent, request, reply, refusal);
}

/* To those without a good token no path but the open ones tells even whether it exists. */
static bool is_admitted(struct agent *agent, const struct destination *destination,
                        struct request *request, struct reply *reply, struct refusal *refusal)
{
    return destination->open || (!is_locked_out(agent, request, reply, refusal) &&
                                 is_own(agent, destination, request, reply, refusal));
}

static void serve(struct agent *agent, const struct destination *destination,
                  const struct request *request, struct reply *reply)
{
    const struct route *route = route_find(destination, request->method);
    if (!route || !route->views)
        store_return(request->view);
    if (route) {
        route->handle(agent, request, reply);
        return;
    }
    cleanup_buffer struct buffer methods = BUFFER_EMPTY;
    route_methods(destination, &methods);
    reply_error(reply, methods.length > 0 ? 405 : 404, NULL);
    if (methods.length > 0)
        reply_header(reply, "Allow", buffer_text(&methods));
}

static void decide(struct agent *agent, struct request *request, struct reply *reply,
                   struct refusal *refusal)
{
    const struct destination destination = route_destination(request->path);
    if (is_within_rate(agent, request, reply, refusal) &&
        is_admitted(agent, &destination, request, reply, refusal))
        serve(agent, &destination, request, reply);
    store_return(request->view);
}

static size_t endpoint_of(const struct request *request)
{
    return request->path ? route_index(route_destination(request->path).path) : ROUTE_COUNT;
}

/* Puts the answer off if it may be; the worker is free then. */
static bool park(struct agent *agent, struct mg_connection *connection,
                 const struct request *request, const struct reply *reply)
{
    struct waiter waiter = {.endpoint = endpoint_of(request),
                            .vmid = request->vmid,
                            .wait = reply->wait,
                            .head = request->head};
    memcpy(waiter.token_id, request->token_id, sizeof waiter.token_id);
    if (reply->wait.deadline_us == 0 ||
        !watch_take(agent->watch, mg_get_thread_pointer(connection), &waiter))
        return false;
    mg_disable_connection_keep_alive(connection);
    return true;
}

/* After the answer, so that the time it took tells nothing. */
static void tell(struct agent *agent, const struct peer *peer, const struct refusal *refusal)
{
    if (!refusal->reason)
        return;
    tally_refusal(&agent->tally, refusal->reason);
    uint32_t count = refusals_count(agent->refusals, peer, refusal->reason, clock_steady_us());
    if (count > 0)
        refusal_tell(agent->stores, peer, refusal, count);
}

int answer_request(struct mg_connection *connection, const struct peer *peer, void *context)
{
    struct agent *agent = context;
    cleanup_setup struct setup *setup = agent_setup(agent);
    struct store_loan view = {0};
    cleanup_request struct request request = {0};
    cleanup_reply struct reply reply = REPLY_EMPTY;
    struct refusal refusal = {0};
    reply_name(&reply);
    if (is_readable(connection, &request, &reply)) {
        request.peer = peer;
        request.setup = setup;
        request.view = &view;
        decide(agent, &request, &reply, &refusal);
    }
    int status = reply.status;
    if (!park(agent, connection, &request, &reply)) {
        status = reply_send(connection, &reply, request.head,
                            request.keep_alive && !agent_crowded(agent));
        tally_request(&agent->tally, endpoint_of(&request), status);
    }
    tell(agent, peer, &refusal);
    explain_request(agent, peer, &request, &reply, &refusal);
    return status;
}

void answer_malformed(struct mg_connection *connection, int status, void *context)
{
    struct agent *agent = context;
    const struct connection *ours = mg_get_thread_pointer(connection);
    const struct mg_request_info *info = mg_get_request_info(connection);
    const char *method = info && info->request_method ? info->request_method : "";
    cleanup_reply struct reply reply = REPLY_EMPTY;
    reply_name(&reply);
    reply_error(&reply, status, NULL);
    (void)reply_send(connection, &reply, strcmp(method, "HEAD") == 0, false);
    tally_request(&agent->tally, ROUTE_COUNT, status);
    explain_malformed(agent, &ours->peer, &reply);
}
