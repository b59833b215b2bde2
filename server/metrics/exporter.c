/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishes the metrics in two ways: a web server of its own answers Prometheus, and a worker
 * thread writes a file every 15 seconds. exporter_apply, in the main thread, starts and stops both
 * as the configuration says.
 */
#include <civetweb.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "schema/agent/metrics_text.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/error.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "server/base/context.h"
#include "server/base/worker.h"
#include "server/http/reply.h"
#include "server/metrics/metrics.h"
#include "server/net/web_server.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/files/file.h"

#define FILE_EVERY_US (15 * SECOND_US)

/* Every user of the host can connect. Whoever sends nothing stays in the kernel for a minute, and
 * whoever sends too little has a thread for a second: a scrape waits behind hundreds of them for no
 * longer than Prometheus does. */
#define METRICS_THREADS      16
#define METRICS_TIMEOUT_MS   1000
#define METRICS_HEADER_LIMIT 4096
#define METRICS_QUEUE        512
#define METRICS_DEFER_S      60

/* A web server on an address of the loopback: plain HTTP, GET /metrics and nothing else. It has
 * threads of its own, so that a client of the metrics never occupies a thread that a guest needs.
 */
struct metrics_listener {
    struct web_server server;
    int socket;
    struct exposition *exposition;
};

struct exporter {
    struct exposition exposition;

    struct metrics_listener *listener; /* NULL: no listener */
    struct sockaddr_in address;        /* of the listener, if there is one */

    struct worker *worker; /* writes the file; NULL: no file */
    char problem[512];     /* why the last file could not be written, already logged; for the worker
                              thread only */
};

/* --- the file that node_exporter's textfile collector reads --- */

/* Replaces the file atomically; everybody may read it. */
static int exporter_replace_file(const char *path, const struct buffer *text, struct error *error)
{
    const char *name = strrchr(path, '/') + 1;
    cleanup_free char *directory = mem_copy_text_n(path, (size_t)(name - path));
    /* The directory belongs to the collector, so its owner is not checked. */
    cleanup_close int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(error, errno, "%s", directory);
    if (file_replace_at(fd, name, 0644, (uid_t)-1, (gid_t)-1, text->data, text->length, false,
                        error) < 0)
        return fail_context(error, "%s", directory);
    return 0;
}

/* Logs the problem, unless it is still the one that was logged last. */
static void exporter_log_problem(struct exporter *exporter, const struct error *error)
{
    if (strcmp(exporter->problem, error->message) == 0)
        return;
    memcpy(exporter->problem, error->message, sizeof exporter->problem);
    throttled_log_line(&exporter->exposition.context->log, LOG_ERR,
                       "cannot write the metrics file: %s", error->message);
}

static int64_t exporter_write_file(void *context)
{
    struct error error;
    struct exporter *exporter = context;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup_server_config struct server_config *current =
        context_config(exporter->exposition.context);
    exposition_write(&exporter->exposition, &text);
    if (exporter_replace_file(current->config.metrics.textfile, &text, &error) < 0)
        exporter_log_problem(exporter, &error);
    else
        exporter->problem[0] = '\0';
    return FILE_EVERY_US;
}

/* Restarts the worker, so that it writes to the new path at once. */
static void exporter_apply_file(struct exporter *exporter, const char *path)
{
    worker_stop(exporter->worker);
    exporter->problem[0] = '\0';
    exporter->worker = *path ? worker_start("metrics", exporter_write_file, exporter) : NULL;
}

/* --- the listener --- */

static void metrics_reply(const struct mg_request_info *info, struct exposition *exposition,
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

static int metrics_handle(struct mg_connection *connection, void *context)
{
    const struct metrics_listener *listener = context;
    const struct mg_request_info *info = mg_get_request_info(connection);
    cleanup_reply struct reply reply = REPLY_EMPTY;
    metrics_reply(info, listener->exposition, &reply);
    return reply_send(connection, &reply, strcmp(info->request_method, "HEAD") == 0, false);
}

static void metrics_handle_error(struct mg_connection *connection, int status, void *context)
{
    (void)context;
    cleanup_reply struct reply reply = REPLY_EMPTY;
    reply_error(&reply, status, NULL);
    (void)reply_send(connection, &reply, false, false);
}

static int metrics_server_start(struct metrics_listener *listener,
                                const struct sockaddr_in *address, struct error *error)
{
    const struct web_server_options options = {
        .address = *address,
        .socket = listener->socket,
        .log = &listener->exposition->context->log,
        .log_prefix = "metrics: CivetWeb",
        .threads = METRICS_THREADS,
        .queue = METRICS_QUEUE,
        .backlog = METRICS_QUEUE,
        .header_limit = METRICS_HEADER_LIMIT,
        .timeout_ms = METRICS_TIMEOUT_MS,
        .handle = metrics_handle,
        .handle_context = listener,
        .handle_error = metrics_handle_error,
        .context = listener,
    };
    return web_server_start(&listener->server, &options, error);
}

static void metrics_listener_free(struct metrics_listener *listener)
{
    cleanup_close_fn(&listener->socket);
    free(listener);
}

/* Has the kernel keep connections to itself until there is something to read. */
static int metrics_listening_open(const struct sockaddr_in *address, int *ret, struct error *error)
{
    const int defer_s = METRICS_DEFER_S;
    if (listening_open(address, ret, error) < 0)
        return -1;
    (void)setsockopt(*ret, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer_s, sizeof defer_s);
    return 0;
}

/* Begins to listen. exposition is borrowed. Ends with metrics_listener_stop. */
static int metrics_listener_start(const struct sockaddr_in *address, struct exposition *exposition,
                                  struct metrics_listener **ret, struct error *error)
{
    struct metrics_listener *listener = mem_new(struct metrics_listener);
    listener->socket = -1;
    listener->exposition = exposition;
    if (metrics_listening_open(address, &listener->socket, error) == 0 &&
        metrics_server_start(listener, address, error) == 0) {
        *ret = listener;
        return 0;
    }
    /* Left open, the socket would keep its address from the listener of a later reload. */
    if (listener->server.stuck)
        cleanup_close_fn(&listener->socket);
    else
        metrics_listener_free(listener);
    return -1;
}

/* Returns when the replies under way were sent. NULL is allowed. */
static void metrics_listener_stop(struct metrics_listener *listener)
{
    if (!listener)
        return;
    web_server_stop(&listener->server);
    metrics_listener_free(listener);
}

static bool exporter_listens_on(const struct exporter *exporter, const struct sockaddr_in *address)
{
    return exporter->listener && exporter->address.sin_port == address->sin_port &&
           exporter->address.sin_addr.s_addr == address->sin_addr.s_addr;
}

static void exporter_start_listener(struct exporter *exporter, const struct sockaddr_in *address)
{
    struct error error;
    exporter->address = *address;
    if (metrics_listener_start(address, &exporter->exposition, &exporter->listener, &error) < 0)
        log_line(LOG_ERR, "metrics are not served: %s", error.message);
}

static void exporter_apply_listener(struct exporter *exporter, const struct config *config)
{
    if (config->metrics.has_listen && exporter_listens_on(exporter, &config->metrics.listen))
        return;
    metrics_listener_stop(steal(exporter->listener));
    if (config->metrics.has_listen)
        exporter_start_listener(exporter, &config->metrics.listen);
}

struct exporter *exporter_new(struct context *context)
{
    struct exporter *exporter = mem_new(struct exporter);
    exporter->exposition = (struct exposition){
        .context = context,
        .hooks = HOOK_COUNTERS_NEW,
        .started_ms = clock_wall_ms(),
    };
    return exporter;
}

void exporter_free(struct exporter *exporter)
{
    if (!exporter)
        return;
    metrics_listener_stop(exporter->listener);
    worker_stop(exporter->worker);
    (void)pthread_mutex_destroy(&exporter->exposition.hooks.lock);
    free(exporter);
}

/* --- the exporter --- */

/* Has the phases of hooks counted from now on; if the store cannot be read, from the first time
 * that it can. */
static void exporter_begin_counting(struct exporter *exporter)
{
    struct error error;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(exporter->exposition.context->stores, &loan, &error) < 0 ||
        hook_counters_catch_up(&exporter->exposition.hooks, loan.store, &error) < 0)
        store_loan_failed(&loan, &error);
}

void exporter_apply(struct exporter *exporter, const struct config *config)
{
    if (config->metrics.has_listen || *config->metrics.textfile)
        exporter_begin_counting(exporter);
    exporter_apply_listener(exporter, config);
    exporter_apply_file(exporter, config->metrics.textfile);
}
