/* SPDX-License-Identifier: Apache-2.0 */
#include "server/metrics/exporter.h"

#include <civetweb.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "schema/agent/metrics_text.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/error.h"
#include "schema/base/memory.h"
#include "server/agent.h"
#include "server/base/worker.h"
#include "server/http/reply.h"
#include "server/metrics/exposition.h"
#include "server/metrics/hook_tally.h"
#include "server/net/door.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/files/file.h"

/* The file that node_exporter's textfile collector reads. */

/* Puts the text in the place of what is there, at once and for everybody to read. */
static int metrics_file_replace(const char *path, const struct buffer *text, struct error *error)
{
    const char *name = strrchr(path, '/') + 1;
    cleanup_free char *directory = mem_copy_text_n(path, (size_t)(name - path));
    /* Who owns the directory is not ours to say: it is the collector's. */
    cleanup_close int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(error, errno, "%s", directory);
    if (file_replace_at(fd, name, 0644, (uid_t)-1, (gid_t)-1, text->data, text->length, false,
                        error) < 0)
        return fail_context(error, "%s", directory);
    return 0;
}

/* Where Prometheus asks: plain HTTP on an address of the loopback, GET /metrics and nothing else. A
 * CivetWeb server of its own, so that nobody who asks it takes a thread from a guest. */

struct metrics_listener;

static void metrics_listener_stop(struct metrics_listener *listener);

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

/* exposition is borrowed. Ends with metrics_listener_stop. */
static int metrics_listener_start(const struct sockaddr_in *address,
                                  const struct exposition *exposition,
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

/* Waits for the answers under way. NULL is fine. */
static void metrics_listener_stop(struct metrics_listener *listener)
{
    if (!listener)
        return;
    door_end(&listener->door, listener->civetweb);
    listener_free(listener);
}

#define FILE_EVERY_US ((int64_t)15 * 1000000)

struct exporter {
    struct exposition exposition;
    struct hook_tally hooks;

    struct metrics_listener *listener; /* NULL: there is none */
    struct sockaddr_in address;        /* of it */

    struct worker *worker; /* of the file; NULL: there is none */
    char problem[512];     /* of the last file, told already; the worker's */
};

struct exporter *exporter_new(struct agent *agent)
{
    struct exporter *exporter = mem_new(struct exporter);
    exporter->hooks = HOOK_TALLY_NEW;
    exporter->exposition = (struct exposition){
        .agent = agent,
        .hooks = &exporter->hooks,
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
    (void)pthread_mutex_destroy(&exporter->hooks.lock);
    free(exporter);
}

/* --- the file --- */

/* What lasts is told once. */
static void tell_problem(struct exporter *exporter, const struct error *error)
{
    if (strcmp(exporter->problem, error->message) == 0)
        return;
    memcpy(exporter->problem, error->message, sizeof exporter->problem);
    throttled_log_line(&exporter->exposition.agent->log, LOG_ERR,
                       "the metrics could not be written: %s", error->message);
}

static int64_t write_file(void *context)
{
    struct error error;
    struct exporter *exporter = context;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup_setup struct setup *setup = agent_setup(exporter->exposition.agent);
    exposition_write(&exporter->exposition, &text);
    if (metrics_file_replace(setup->config.metrics.textfile, &text, &error) < 0)
        tell_problem(exporter, &error);
    else
        exporter->problem[0] = '\0';
    return FILE_EVERY_US;
}

/* The worker looks by itself where the file lies now, so it starts anew to do so at once. */
static void apply_file(struct exporter *exporter, const char *path)
{
    worker_stop(exporter->worker);
    exporter->problem[0] = '\0';
    exporter->worker = *path ? worker_start("metrics", write_file, exporter) : NULL;
}

/* --- the listener --- */

static bool is_listening_on(const struct exporter *exporter, const struct sockaddr_in *address)
{
    return exporter->listener && exporter->address.sin_port == address->sin_port &&
           exporter->address.sin_addr.s_addr == address->sin_addr.s_addr;
}

static void start_listener(struct exporter *exporter, const struct sockaddr_in *address)
{
    struct error error;
    exporter->address = *address;
    if (metrics_listener_start(address, &exporter->exposition, &exporter->listener, &error) < 0)
        log_line(LOG_ERR, "there are no metrics: %s", error.message);
}

static void apply_listener(struct exporter *exporter, const struct config *config)
{
    if (config->metrics.has_listen && is_listening_on(exporter, &config->metrics.listen))
        return;
    metrics_listener_stop(steal(exporter->listener));
    if (config->metrics.has_listen)
        start_listener(exporter, &config->metrics.listen);
}

/* --- both --- */

/* The hooks' phases count from here on; where the store is away, from the first look on. */
static void begin_counting(struct exporter *exporter)
{
    struct error error;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(exporter->exposition.agent->stores, &loan, &error) < 0 ||
        hook_tally_catch_up(&exporter->hooks, loan.store, &error) < 0)
        store_loan_failed(&loan, &error);
}

void exporter_apply(struct exporter *exporter, const struct config *config)
{
    if (config->metrics.has_listen || *config->metrics.textfile)
        begin_counting(exporter);
    apply_listener(exporter, config);
    apply_file(exporter, config->metrics.textfile);
}
