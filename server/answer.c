/* SPDX-License-Identifier: Apache-2.0 */
#include "server/answer.h"

#include <civetweb.h>
#include <stdio.h>
#include <string.h>

#include "server/api/route.h"
#include "server/base/context.h"
#include "server/base/guest_refresh.h"
#include "server/events/waiters.h"
#include "server/http/auth.h"
#include "server/http/refusal.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/net/connection.h"
#include "server/net/gate.h"
#include "server/net/listener.h"
#include "store/base/clock.h"

/* Reads head and body of the request. False if the request is malformed or too large; the reply
 * then says so, and the connection is closed after it. */
static bool read_request(struct mg_connection *connection, struct request *request,
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

/* False if the source has sent too many requests; the reply then is 429. */
static bool check_request_rate(struct context *context, const struct request *request,
                               struct reply *reply, struct refusal *refusal)
{
    uint32_t seconds = gate_count_request(context->gate, request->peer);
    if (seconds == 0)
        return true;
    reply_later(reply, 429, seconds);
    /* On a kept connection a client could ask for thousands of these a second. */
    reply->close = true;
    refusal->reason = REFUSAL_TOO_MANY_REQUESTS;
    return false;
}

/* Has the handler of the route fill in the reply; without a route it is 404, or 405 if the path
 * has other methods. A handler that does not read from the view gets none, because it may take
 * long. */
static void answer_by_route(struct context *context, const struct request *request,
                            struct reply *reply)
{
    const struct route *route = request->destination.route;
    if (!route || !route->views)
        store_return(request->view);
    if (route) {
        route->handle(context, request, reply);
        return;
    }
    cleanup_buffer struct buffer methods = BUFFER_EMPTY;
    route_methods(&request->destination, &methods);
    reply_error(reply, methods.length > 0 ? 405 : 404, NULL);
    if (methods.length > 0)
        reply_header(reply, "Allow", buffer_text(&methods));
}

/* True if connections should be closed after each reply, to make room for others. */
static bool connections_are_crowded(struct context *context)
{
    const struct listener *listener = atomic_load(&context->listener);
    return listener && listener_crowded(listener);
}

static void note_handlers_refusal(const struct request *request, const struct reply *reply,
                                  struct refusal *refusal)
{
    if (reply->refused == REFUSAL_NONE)
        return;
    refusal->reason = reply->refused;
    refusal->vmid = request->vmid;
    (void)snprintf(refusal->detail, sizeof refusal->detail, "%.*s", (int)sizeof refusal->detail - 1,
                   reply->why);
}

/* Answers the request if it is within the rate and its token is good; otherwise *refusal says
 * why not. */
static void admit_and_answer(struct context *context, struct request *request, struct reply *reply,
                             struct refusal *refusal)
{
    if (check_request_rate(context, request, reply, refusal) &&
        auth_admit(context, request, reply, refusal)) {
        answer_by_route(context, request, reply);
        note_handlers_refusal(request, reply, refusal);
    }
    store_return(request->view);
}

/* Hands the connection to the waiters if the request may wait. False if it may not, or no more
 * can wait: then the caller sends the reply. */
static bool hand_to_waiters(struct context *context, struct mg_connection *connection,
                            const struct request *request, const struct reply *reply)
{
    struct wait_request wait = {.endpoint = request->destination.endpoint,
                                .vmid = request->vmid,
                                .wait = reply->wait,
                                .head = request->head};
    memcpy(wait.token_id, request->token_id, sizeof wait.token_id);
    if (reply->wait.deadline_us == 0 ||
        !waiters_add(context->waiters, mg_get_thread_pointer(connection), &wait))
        return false;
    mg_disable_connection_keep_alive(connection);
    return true;
}

int answer_request(struct mg_connection *connection, void *data)
{
    struct context *context = data;
    const struct connection *ours = mg_get_thread_pointer(connection);
    cleanup_server_config struct server_config *current = context_config(context);
    struct store_loan view = {0};
    cleanup_request struct request request = {0};
    cleanup_reply struct reply reply = REPLY_EMPTY;
    struct refusal refusal = {0};
    reply_assign_id(&reply);
    bool readable = read_request(connection, &request, &reply);
    request.destination = route_resolve(request.path, request.method);
    if (readable) {
        request.peer = &ours->peer;
        request.config = &current->config;
        request.config_serial = current->serial;
        request.guests_serial = guest_refresh_serial(context->guest_refresh);
        request.view = &view;
        admit_and_answer(context, &request, &reply, &refusal);
    }
    int status = reply.status;
    if (!hand_to_waiters(context, connection, &request, &reply)) {
        status = reply_send(connection, &reply, request.head,
                            request.keep_alive && !connections_are_crowded(context));
        counters_add_request(&context->counters, request.destination.endpoint, status);
    }
    refusal_report(context, &ours->peer, &request, &reply, &refusal);
    return status;
}

void answer_malformed(struct mg_connection *connection, int status, void *data)
{
    struct context *context = data;
    const struct connection *ours = mg_get_thread_pointer(connection);
    const struct mg_request_info *info = mg_get_request_info(connection);
    const char *method = info && info->request_method ? info->request_method : "";
    cleanup_reply struct reply reply = REPLY_EMPTY;
    reply_assign_id(&reply);
    reply_error(&reply, status, NULL);
    (void)reply_send(connection, &reply, strcmp(method, "HEAD") == 0, false);
    counters_add_request(&context->counters, ROUTE_COUNT, status);
    refusal_explain_malformed(context, &ours->peer, &reply);
}
