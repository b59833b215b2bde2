/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/listener.h"

#include <civetweb.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "schema/base/memory.h"
#include "server/base/limiter.h"
#include "server/net/connection.h"
#include "server/net/door.h"
#include "server/tls/context.h"
#include "store/base/clock.h"
#include "store/base/log.h"

#define IDLE_MS             15000 /* keep-alive: the pause between two requests */
#define HEADER_LIMIT        16384 /* request line and headers */
#define DRAIN_STEP_US       10000
#define ACCEPTING_THREAD    0 /* CivetWeb's name for it */
#define ACCEPTING_MS        5000
#define ACCEPTING_STEP_US   200
#define DESCRIPTORS_BESIDES 96U /* those that are no guest's connection */

/* What CivetWeb said first while it was being started: why it did not. */
struct complaint {
    pthread_t starter;
    int errnum;
    char message[256];
};

struct listener {
    struct door door;
    struct listener_settings settings;
    struct entrance entrance;
    struct throttled_log log;
    struct mg_context *civetweb;
    struct complaint complaint;
    atomic_bool accepting; /* the thread that does so has begun */
    atomic_bool stopping;
};

static struct listener *listener_of(const struct mg_context *civetweb)
{
    return mg_get_user_data(civetweb);
}

static void *begin_thread(const struct mg_context *civetweb, int type)
{
    struct listener *listener = listener_of(civetweb);
    (void)door_begin_thread(civetweb, type);
    if (type == ACCEPTING_THREAD)
        atomic_store(&listener->accepting, true);
    return connection_new(&listener->entrance);
}

static void end_thread(const struct mg_context *civetweb, int type, void *connection)
{
    (void)civetweb;
    (void)type;
    connection_free(connection);
}

static int take_request(struct mg_connection *request)
{
    const struct listener_settings *settings = &listener_of(mg_get_context(request))->settings;
    const struct connection *connection = mg_get_thread_pointer(request);
    int status = settings->handle(request, &connection->peer, settings->context);
    /* Anything else would make CivetWeb look for a file. */
    return status > 0 ? status : 500;
}

/* CivetWeb calls most of what it could not read a bad request. */
static int true_status(const struct connection *connection, int status)
{
    if (status != 400)
        return status;
    if (tls_timed_out(connection->session))
        return 408;
    return tls_request_size(connection->session) >= HEADER_LIMIT ? 413 : status;
}

static int take_error(struct mg_connection *request, int status, const char *message)
{
    (void)message;
    const struct listener_settings *settings = &listener_of(mg_get_context(request))->settings;
    const struct connection *connection = mg_get_thread_pointer(request);
    settings->handle_error(request, true_status(connection, status), settings->context);
    return 0;
}

static void keep_complaint(struct complaint *complaint, const char *message)
{
    int errnum = errno;
    if (complaint->message[0])
        return;
    complaint->errnum = errnum;
    (void)snprintf(complaint->message, sizeof(complaint->message), "%s", message);
}

static int take_message(const struct mg_connection *request, const char *message)
{
    struct listener *listener = listener_of(mg_get_context(request));
    if (pthread_equal(pthread_self(), listener->complaint.starter))
        keep_complaint(&listener->complaint, message);
    else
        throttled_log_line(&listener->log, LOG_WARNING, "CivetWeb: %s", message);
    return 1;
}

struct option_texts {
    char port[32];
    char threads[16];
    char header_limit[16];
    char backlog[16];
    char timeout_ms[24];
};

static struct option_texts option_texts_new(const struct listener_settings *settings)
{
    struct option_texts texts;
    char endpoint[LISTENING_NAME_SIZE];
    listening_name(&settings->address, endpoint);
    (void)snprintf(texts.port, sizeof(texts.port), "%ss", endpoint);
    (void)snprintf(texts.threads, sizeof(texts.threads), "%" PRIu32, settings->threads);
    (void)snprintf(texts.header_limit, sizeof(texts.header_limit), "%d", HEADER_LIMIT);
    (void)snprintf(texts.backlog, sizeof(texts.backlog), "%d", LISTENING_BACKLOG);
    /* tls.c keeps the deadlines; CivetWeb's own, which are laxer, must not strike first. */
    (void)snprintf(texts.timeout_ms, sizeof(texts.timeout_ms), "%" PRIu64,
                   IDLE_MS + 2 * settings->request_ms);
    return texts;
}

static struct mg_context *start_civetweb(struct listener *listener)
{
    static const struct mg_callbacks callbacks = {
        .init_thread = begin_thread,
        .exit_thread = end_thread,
        .connection_closed = door_leave,
        .begin_request = take_request,
        .http_error = take_error,
        .log_message = take_message,
    };
    const struct option_texts texts = option_texts_new(&listener->settings);
    const char *options[] = {
        "listening_ports",
        texts.port,
        "num_threads",
        texts.threads,
        "connection_queue",
        texts.threads,
        "listen_backlog",
        texts.backlog,
        "max_request_size",
        texts.header_limit,
        "request_timeout_ms",
        texts.timeout_ms,
        "keep_alive_timeout_ms",
        texts.timeout_ms,
        "enable_keep_alive",
        "yes",
        "tcp_nodelay",
        "1",
        "decode_url",
        "no",
        NULL,
    };
    struct mg_init_data data = {
        .callbacks = &callbacks,
        .user_data = listener,
        .configuration_options = options,
    };
    listener->complaint = (struct complaint){.starter = pthread_self()};
    errno = 0;
    return mg_start2(&data, NULL);
}

static int fail_start(const struct listener *listener, struct error *error)
{
    char endpoint[LISTENING_NAME_SIZE];
    const struct complaint *complaint = &listener->complaint;
    listening_name(&listener->settings.address, endpoint);
    if (complaint->errnum != 0)
        return fail_errno(error, complaint->errnum, "cannot listen on %s", endpoint);
    return fail(error, ERROR_SYSTEM, "cannot listen on %s: %s", endpoint,
                complaint->message[0] ? complaint->message : "no memory for TLS");
}

static int entrance_init(struct listener *listener, struct error *error)
{
    const struct listener_settings *settings = &listener->settings;
    struct entrance *entrance = &listener->entrance;
    const struct tls_limits limits = {
        .handshake_ms = settings->handshake_ms,
        .request_ms = settings->request_ms,
        .idle_ms = IDLE_MS,
    };
    entrance->gate = settings->gate;
    entrance->tally = settings->tally;
    entrance->log = &listener->log;
    return tls_context_new(settings->pem_file, &limits, &entrance->tls, error);
}

static void listener_free(struct listener *listener)
{
    (void)mg_exit_library();
    door_destroy(&listener->door);
    tls_context_free(listener->entrance.tls);
    (void)pthread_mutex_destroy(&listener->log.lock);
    free(listener);
}

/* CivetWeb says nothing if it gets no thread for that. */
static bool begins_to_accept(struct listener *listener)
{
    int64_t end_us = clock_steady_us() + (int64_t)ACCEPTING_MS * 1000;
    while (!atomic_load(&listener->accepting) && clock_steady_us() < end_us)
        (void)usleep(ACCEPTING_STEP_US);
    return atomic_load(&listener->accepting);
}

/* Without that thread CivetWeb can't be stopped: its workers stay, as must what they look at. */
static int fail_without_accepting(struct listener *listener, struct error *error)
{
    char endpoint[LISTENING_NAME_SIZE];
    listening_name(&listener->settings.address, endpoint);
    door_take_back(&listener->door);
    return fail_errno(error, EAGAIN, "cannot listen on %s: no thread to do so", endpoint);
}

/* Where none is left for a connection, that has to wait. */
static void warn_of_few_descriptors(uint32_t threads)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= threads + DESCRIPTORS_BESIDES)
        return;
    log_line(LOG_WARNING,
             "no more than %llu files may be open, and %u guests at once may need %u: raise "
             "LimitNOFILE, or lower limits.threads",
             (unsigned long long)limit.rlim_cur, threads, threads + DESCRIPTORS_BESIDES);
}

/* Short of memory CivetWeb may begin without, and say nothing. */
static bool speaks_tls(const struct mg_context *civetweb)
{
    struct mg_server_port port;
    return mg_get_server_ports(civetweb, 1, &port) == 1 && port.is_ssl;
}

static int start(struct listener *listener, struct error *error)
{
    (void)mg_init_library(MG_FEATURES_DEFAULT);
    warn_of_few_descriptors(listener->settings.threads);
    if (entrance_init(listener, error) < 0)
        return -1;
    listener->civetweb = start_civetweb(listener);
    if (listener->civetweb && speaks_tls(listener->civetweb))
        return 0;
    if (listener->civetweb)
        door_end(&listener->door, listener->civetweb);
    door_take_back(&listener->door);
    return fail_start(listener, error);
}

int listener_start(const struct listener_settings *settings, struct listener **ret,
                   struct error *error)
{
    struct listener *listener = mem_new(struct listener);
    listener->settings = *settings;
    listener->log = THROTTLED_LOG_NEW;
    if (door_init(&listener->door, settings->socket, &listener->log, error) < 0) {
        free(listener);
        return -1;
    }
    if (start(listener, error) < 0) {
        listener_free(listener);
        return -1;
    }
    if (!begins_to_accept(listener))
        return fail_without_accepting(listener, error);
    if (listener->complaint.message[0])
        log_line(LOG_WARNING, "CivetWeb: %s", listener->complaint.message);
    *ret = listener;
    return 0;
}

/* Waits for those who were let in, so that CivetWeb, once told to stop, has no answer to cut short
 * and nobody in its queue. */
static void drain(struct listener *listener)
{
    const struct listener_settings *settings = &listener->settings;
    int64_t end_us =
        clock_steady_us() + 2 * (int64_t)(settings->handshake_ms + settings->request_ms) * 1000;
    door_close(&listener->door);
    atomic_store(&listener->stopping, true);
    tls_context_interrupt(listener->entrance.tls);
    while (door_inside(&listener->door) > 0 && clock_steady_us() < end_us)
        (void)usleep(DRAIN_STEP_US);
}

void listener_stop(struct listener *listener)
{
    if (!listener)
        return;
    drain(listener);
    door_end(&listener->door, listener->civetweb);
    listener_free(listener);
}

int listener_renew(struct listener *listener, const char *pem_file, struct error *error)
{
    return tls_context_renew(listener->entrance.tls, pem_file, error);
}

void listener_pins(const struct listener *listener, struct pins *ret)
{
    tls_context_pins(listener->entrance.tls, ret);
}

bool listener_crowded(const struct listener *listener)
{
    uint64_t inside = gate_connections(listener->settings.gate);
    return atomic_load(&listener->stopping) ||
           inside * 4 >= (uint64_t)listener->settings.threads * 3;
}
