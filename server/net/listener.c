/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/listener.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <civetweb.h>

#include "schema/base/memory.h"
#include "server/base/limiter.h"
#include "server/net/connection.h"
#include "server/net/web_server.h"
#include "server/tls/context.h"
#include "server/tls/session.h"
#include "store/base/clock.h"
#include "store/base/log.h"

#define IDLE_MS           15000 /* keep-alive: the pause between two requests */
#define HEADER_LIMIT      16384 /* request line and headers */
#define DRAIN_STEP_US     10000
#define SPARE_DESCRIPTORS 96U /* for everything but guests' connections */

struct listener {
    struct web_server server;
    struct listener_options options;
    struct connection_context context;
    struct throttled_log log;
    atomic_bool stopping;
};

static void *listener_begin_thread(void *context)
{
    struct listener *listener = context;
    return connection_new(&listener->context);
}

static void listener_end_thread(void *connection)
{
    connection_free(connection);
}

/* CivetWeb reports most requests that it could not read as status 400. */
static int corrected_status(const struct connection *connection, int status)
{
    if (status != 400)
        return status;
    if (tls_timed_out(connection->session))
        return 408;
    return tls_request_size(connection->session) >= HEADER_LIMIT ? 413 : status;
}

static void listener_handle_error(struct mg_connection *request, int status, void *context)
{
    const struct listener_options *options = &((const struct listener *)context)->options;
    const struct connection *connection = mg_get_thread_pointer(request);
    options->handle_error(request, corrected_status(connection, status), options->context);
}

/* Connections wait while no descriptor is left. */
static void warn_of_few_descriptors(uint32_t threads)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= threads + SPARE_DESCRIPTORS)
        return;
    log_line(LOG_WARNING,
             "the limit of open files is %llu, but serving %u guests at once may need %u: raise "
             "LimitNOFILE= or lower limits.threads",
             (unsigned long long)limit.rlim_cur, threads, threads + SPARE_DESCRIPTORS);
}

static int listener_context_init(struct listener *listener, struct error *error)
{
    const struct listener_options *options = &listener->options;
    const struct tls_limits limits = {
        .handshake_ms = options->handshake_ms,
        .request_ms = options->request_ms,
        .idle_ms = IDLE_MS,
    };
    listener->context = (struct connection_context){
        .gate = options->gate,
        .arrivals = options->arrivals,
        .counters = options->counters,
        .log = &listener->log,
    };
    return tls_context_new(options->pem_file, &limits, &listener->context.tls, error);
}

static int listener_start_server(struct listener *listener, struct error *error)
{
    const struct listener_options *options = &listener->options;
    const struct web_server_options server_options = {
        .address = options->address,
        .socket = options->socket,
        .log = &listener->log,
        .arrivals = options->arrivals,
        .log_prefix = "CivetWeb",
        .tls = true,
        .threads = options->threads,
        .queue = options->threads,
        .backlog = LISTENING_BACKLOG,
        .header_limit = HEADER_LIMIT,
        /* The TLS sessions enforce the deadlines; CivetWeb's timeout is longer, so that it never
         * expires first. */
        .timeout_ms = IDLE_MS + 2 * options->request_ms,
        .keep_alive = true,
        .begin_thread = listener_begin_thread,
        .end_thread = listener_end_thread,
        .handle = options->handle,
        .handle_context = options->context,
        .handle_error = listener_handle_error,
        .context = listener,
    };
    return web_server_start(&listener->server, &server_options, error);
}

static void listener_free(struct listener *listener)
{
    tls_context_free(listener->context.tls);
    (void)pthread_mutex_destroy(&listener->log.lock);
    free(listener);
}

int listener_start(const struct listener_options *options, struct listener **ret,
                   struct error *error)
{
    struct listener *listener = mem_new(struct listener);
    listener->options = *options;
    listener->log = THROTTLED_LOG_NEW;
    warn_of_few_descriptors(options->threads);
    if (listener_context_init(listener, error) == 0 &&
        listener_start_server(listener, error) == 0) {
        *ret = listener;
        return 0;
    }
    if (!listener->server.stuck)
        listener_free(listener);
    return -1;
}

/* Waits until the accepted connections are closed, so that CivetWeb, when it stops, cuts no answer
 * short and has no connection in its queue. */
static void listener_drain(struct listener *listener)
{
    const struct listener_options *options = &listener->options;
    struct acceptor *acceptor = &listener->server.acceptor;
    int64_t end_us =
        clock_steady_us() + 2 * (int64_t)(options->handshake_ms + options->request_ms) * 1000;
    acceptor_close(acceptor);
    atomic_store(&listener->stopping, true);
    tls_context_interrupt(listener->context.tls);
    while (acceptor_connections(acceptor) > 0 && clock_steady_us() < end_us)
        (void)usleep(DRAIN_STEP_US);
}

void listener_stop(struct listener *listener)
{
    if (!listener)
        return;
    listener_drain(listener);
    web_server_stop(&listener->server);
    listener_free(listener);
}

int listener_renew(struct listener *listener, const char *pem_file, struct error *error)
{
    return tls_context_renew(listener->context.tls, pem_file, error);
}

void listener_pins(const struct listener *listener, struct pins *ret)
{
    tls_context_pins(listener->context.tls, ret);
}

bool listener_crowded(const struct listener *listener)
{
    uint64_t inside = gate_connections(listener->options.gate);
    return atomic_load(&listener->stopping) ||
           inside * 4 >= (uint64_t)listener->options.threads * 3;
}
