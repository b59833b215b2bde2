/* SPDX-License-Identifier: Apache-2.0 */
#include "server/metrics/metrics_listener.h"

#include <civetweb.h>
#include <stdlib.h>
#include <string.h>

#include "schema/agent/metrics_text.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "server/agent.h"
#include "server/http/reply.h"
#include "server/net/door.h"
#include "store/base/log.h"

/* One for who asks, one for who connected and says nothing. */
#define THREADS      "2"
#define TIMEOUT_MS   "2000"
#define HEADER_LIMIT "4096"
#define QUEUE        "8"

struct metrics_listener {
    struct door door;
    int socket;
    const struct exposition *exposition;
    struct mg_context *civetweb;
};

static const struct metrics_listener *listener_of(const struct mg_connection *connection)
{
    return mg_get_user_data(mg_get_context(connection));
}

static void decide(const struct mg_request_info *info, const struct exposition *exposition,
                   struct reply *reply)
{
    if (strcmp(info->local_uri, "/metrics") != 0) {
        reply_error(reply, 404, NULL);
    } else if (strcmp(info->request_method, "GET") != 0) {
        reply_error(reply, 405, NULL);
        reply_header(reply, "Allow", "GET");
    } else {
        reply->status = 200;
        reply->type = METRICS_TEXT_TYPE;
        exposition_write(exposition, &reply->body);
    }
}

static int take_request(struct mg_connection *connection)
{
    const struct mg_request_info *info = mg_get_request_info(connection);
    cleanup_reply struct reply reply = REPLY_EMPTY;
    decide(info, listener_of(connection)->exposition, &reply);
    return reply_send(connection, &reply, strcmp(info->request_method, "HEAD") == 0, false);
}

static int take_error(struct mg_connection *connection, int status, const char *message)
{
    (void)message;
    cleanup_reply struct reply reply = REPLY_EMPTY;
    reply_error(&reply, status, NULL);
    (void)reply_send(connection, &reply, false, false);
    return 0;
}

static int take_message(const struct mg_connection *connection, const char *message)
{
    struct agent *agent = listener_of(connection)->exposition->agent;
    throttled_log_line(&agent->log, LOG_WARNING, "metrics: CivetWeb: %s", message);
    return 1;
}

/* A port without an s after it is one without TLS. */
static struct mg_context *start_civetweb(struct metrics_listener *listener, const char *endpoint)
{
    static const struct mg_callbacks callbacks = {
        .init_thread = door_begin_thread,
        .connection_closed = door_leave,
        .begin_request = take_request,
        .http_error = take_error,
        .log_message = take_message,
    };
    const char *options[] = {
        "listening_ports",
        endpoint,
        "num_threads",
        THREADS,
        "connection_queue",
        QUEUE,
        "listen_backlog",
        QUEUE,
        "max_request_size",
        HEADER_LIMIT,
        "request_timeout_ms",
        TIMEOUT_MS,
        "keep_alive_timeout_ms",
        TIMEOUT_MS,
        "enable_keep_alive",
        "no",
        "decode_url",
        "no",
        NULL,
    };
    struct mg_init_data data = {
        .callbacks = &callbacks,
        .user_data = listener,
        .configuration_options = options,
    };
    return mg_start2(&data, NULL);
}

static void listener_free(struct metrics_listener *listener)
{
    door_destroy(&listener->door);
    (void)mg_exit_library();
    cleanup_close_fn(&listener->socket);
    free(listener);
}

static int start(struct metrics_listener *listener, const char *endpoint, struct error *error)
{
    listener->civetweb = start_civetweb(listener, endpoint);
    if (listener->civetweb)
        return 0;
    door_take_back(&listener->door);
    return fail(error, ERROR_SYSTEM, "cannot listen on %s, see above", endpoint);
}

int metrics_listener_start(const struct sockaddr_in *address, const struct exposition *exposition,
                           struct metrics_listener **ret, struct error *error)
{
    char endpoint[LISTENING_NAME_SIZE];
    cleanup_close int fd = -1;
    cleanup_free struct metrics_listener *listener = mem_new(struct metrics_listener);
    listener->exposition = exposition;
    listening_name(address, endpoint);
    if (listening_open(address, &fd, error) < 0 ||
        door_init(&listener->door, fd, &exposition->agent->log, error) < 0)
        return -1;
    listener->socket = steal_fd(&fd);
    (void)mg_init_library(MG_FEATURES_DEFAULT);
    if (start(listener, endpoint, error) < 0) {
        listener_free(steal(listener));
        return -1;
    }
    *ret = steal(listener);
    return 0;
}

void metrics_listener_stop(struct metrics_listener *listener)
{
    if (!listener)
        return;
    door_end(&listener->door, listener->civetweb);
    listener_free(listener);
}
