/* SPDX-License-Identifier: Apache-2.0 */
#include "server/metrics_listener.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <stdlib.h>
#include <string.h>

#include "schema/memory.h"
#include "schema/metrics_text.h"
#include "server/agent.h"
#include "server/civetweb_end.h"
#include "server/reply.h"
#include "store/log.h"

/* One for who asks, one for who connected and says nothing. */
#define THREADS       "2"
#define TIMEOUT_MS    "2000"
#define HEADER_LIMIT  "4096"
#define QUEUE         "8"
#define ENDPOINT_SIZE 24

struct metrics_listener {
    struct sockaddr_in address;
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

static void endpoint_text(const struct sockaddr_in *address, char ret[static ENDPOINT_SIZE])
{
    char host[INET_ADDRSTRLEN];
    (void)inet_ntop(AF_INET, &address->sin_addr, host, sizeof host);
    (void)snprintf(ret, ENDPOINT_SIZE, "%s:%u", host, ntohs(address->sin_port));
}

/* A port without an s after it is one without TLS. */
static struct mg_context *start_civetweb(struct metrics_listener *listener, const char *endpoint)
{
    static const struct mg_callbacks callbacks = {
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

int metrics_listener_start(const struct sockaddr_in *address, const struct exposition *exposition,
                           struct metrics_listener **ret, struct error *error)
{
    char endpoint[ENDPOINT_SIZE];
    struct metrics_listener *listener = mem_new(struct metrics_listener);
    listener->address = *address;
    listener->exposition = exposition;
    endpoint_text(address, endpoint);
    (void)mg_init_library(MG_FEATURES_DEFAULT);
    listener->civetweb = start_civetweb(listener, endpoint);
    if (listener->civetweb) {
        *ret = listener;
        return 0;
    }
    (void)mg_exit_library();
    free(listener);
    return fail(error, ERROR_SYSTEM, "cannot listen on %s, see above", endpoint);
}

void metrics_listener_stop(struct metrics_listener *listener)
{
    if (!listener)
        return;
    civetweb_end(listener->civetweb, &listener->address);
    (void)mg_exit_library();
    free(listener);
}
