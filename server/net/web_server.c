/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/web_server.h"

#include <civetweb.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "server/base/limiter.h"
#include "store/base/clock.h"
#include "store/base/log.h"

#define ACCEPTING_MS      5000 /* how long the accepting thread may take to begin */
#define ACCEPTING_STEP_US 200

static struct web_server *server_of(const struct mg_connection *request)
{
    return mg_get_user_data(mg_get_context(request));
}

static void *web_server_begin_thread(const struct mg_context *civetweb, int type)
{
    struct web_server *server = mg_get_user_data(civetweb);
    if (acceptor_begin_thread(civetweb, type))
        atomic_store(&server->accepting, true);
    return server->options.begin_thread ? server->options.begin_thread(server->options.context)
                                        : NULL;
}

static void web_server_end_thread(const struct mg_context *civetweb, int type, void *thread)
{
    const struct web_server *server = mg_get_user_data(civetweb);
    (void)type;
    if (server->options.end_thread)
        server->options.end_thread(thread);
}

static int web_server_handle_request(struct mg_connection *request)
{
    const struct web_server_options *options = &server_of(request)->options;
    int status = options->handle(request, options->handle_context);
    /* With any other value CivetWeb would look for a file to serve. */
    return status > 0 ? status : 500;
}

static int web_server_handle_error(struct mg_connection *request, int status, const char *message)
{
    const struct web_server_options *options = &server_of(request)->options;
    (void)message;
    options->handle_error(request, status, options->context);
    return 0;
}

static void keep_startup_message(struct startup_message *first, const char *message)
{
    int errnum = errno;
    if (first->text[0])
        return;
    first->errnum = errnum;
    (void)snprintf(first->text, sizeof first->text, "%s", message);
}

static int web_server_log_message(const struct mg_connection *request, const char *message)
{
    struct web_server *server = server_of(request);
    if (pthread_equal(pthread_self(), server->startup_message.starter))
        keep_startup_message(&server->startup_message, message);
    else
        throttled_log_line(server->options.log, LOG_WARNING, "%s: %s", server->options.log_prefix,
                           message);
    return 1;
}

/* CivetWeb takes its options as text. */
struct option_texts {
    char port[LISTENING_NAME_SIZE + 1]; /* with an s for TLS */
    char threads[11];
    char queue[11];
    char backlog[11];
    char header_limit[11];
    char timeout_ms[21];
};

static struct option_texts option_texts_new(const struct web_server_options *options)
{
    struct option_texts texts;
    char endpoint[LISTENING_NAME_SIZE];
    listening_name(&options->address, endpoint);
    (void)snprintf(texts.port, sizeof texts.port, "%s%s", endpoint, options->tls ? "s" : "");
    (void)snprintf(texts.threads, sizeof texts.threads, "%" PRIu32, options->threads);
    (void)snprintf(texts.queue, sizeof texts.queue, "%" PRIu32, options->queue);
    (void)snprintf(texts.backlog, sizeof texts.backlog, "%" PRIu32, options->backlog);
    (void)snprintf(texts.header_limit, sizeof texts.header_limit, "%" PRIu32,
                   options->header_limit);
    (void)snprintf(texts.timeout_ms, sizeof texts.timeout_ms, "%" PRIu64, options->timeout_ms);
    return texts;
}

static struct mg_context *web_server_start_civetweb(struct web_server *server)
{
    static const struct mg_callbacks callbacks = {
        .init_thread = web_server_begin_thread,
        .exit_thread = web_server_end_thread,
        .connection_closed = acceptor_connection_closed,
        .begin_request = web_server_handle_request,
        .http_error = web_server_handle_error,
        .log_message = web_server_log_message,
    };
    const struct option_texts texts = option_texts_new(&server->options);
    /* clang-format off */
    const char *options[] = {
        "listening_ports", texts.port,
        "num_threads", texts.threads,
        "connection_queue", texts.queue,
        "listen_backlog", texts.backlog,
        "max_request_size", texts.header_limit,
        "request_timeout_ms", texts.timeout_ms,
        "keep_alive_timeout_ms", texts.timeout_ms,
        "enable_keep_alive", server->options.keep_alive ? "yes" : "no",
        "tcp_nodelay", "1",
        "decode_url", "no",
        NULL,
    };
    /* clang-format on */
    struct mg_init_data data = {
        .callbacks = &callbacks,
        .user_data = server,
        .configuration_options = options,
    };
    server->startup_message = (struct startup_message){.starter = pthread_self()};
    errno = 0;
    return mg_start2(&data, NULL);
}

/* If memory is short, CivetWeb may start without TLS and without a message. */
static bool tls_is_as_configured(const struct web_server *server)
{
    struct mg_server_port port;
    return mg_get_server_ports(server->civetweb, 1, &port) == 1 &&
           (port.is_ssl != 0) == server->options.tls;
}

/* CivetWeb gives no message if it cannot create the thread that accepts connections. Returns false
 * if that thread has not begun in time. */
static bool wait_until_accepting(struct web_server *server)
{
    int64_t end_us = clock_steady_us() + (int64_t)ACCEPTING_MS * 1000;
    while (!atomic_load(&server->accepting) && clock_steady_us() < end_us)
        (void)usleep(ACCEPTING_STEP_US);
    return atomic_load(&server->accepting);
}

static void web_server_end(struct web_server *server)
{
    if (server->civetweb) {
        acceptor_stop(&server->acceptor);
        mg_stop(server->civetweb);
    }
    (void)mg_exit_library();
}

static int web_server_fail_start(struct web_server *server, struct error *error)
{
    char endpoint[LISTENING_NAME_SIZE];
    const struct startup_message *first = &server->startup_message;
    listening_name(&server->options.address, endpoint);
    /* If the accepting thread begins after all, the socket is no longer this server's. */
    if (server->stuck)
        acceptor_close(&server->acceptor);
    else
        web_server_end(server);
    acceptor_reclaim(&server->acceptor);
    if (server->stuck)
        return fail_errno(error, EAGAIN, "cannot listen on %s: no thread to do so", endpoint);
    acceptor_destroy(&server->acceptor);
    if (first->errnum != 0)
        return fail_errno(error, first->errnum, "cannot listen on %s", endpoint);
    return fail(error, ERROR_SYSTEM, "cannot listen on %s: %s", endpoint,
                first->text[0] ? first->text : "no memory for TLS");
}

int web_server_start(struct web_server *server, const struct web_server_options *options,
                     struct error *error)
{
    *server = (struct web_server){.options = *options};
    if (acceptor_init(&server->acceptor, options->socket, options->log, error) < 0)
        return -1;
    server->acceptor.arrivals = options->arrivals;
    (void)mg_init_library(MG_FEATURES_DEFAULT);
    server->civetweb = web_server_start_civetweb(server);
    if (!server->civetweb || !tls_is_as_configured(server))
        return web_server_fail_start(server, error);
    /* Without its accepting thread CivetWeb cannot be stopped, and its workers stay. */
    server->stuck = !wait_until_accepting(server);
    if (server->stuck)
        return web_server_fail_start(server, error);
    if (server->startup_message.text[0])
        log_line(LOG_WARNING, "%s: %s", options->log_prefix, server->startup_message.text);
    return 0;
}

void web_server_stop(struct web_server *server)
{
    web_server_end(server);
    acceptor_destroy(&server->acceptor);
}
