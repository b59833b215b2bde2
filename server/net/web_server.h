/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CivetWeb server as felhomd runs it: on the caller's listening socket, behind an acceptor
 * (acceptor.h). CivetWeb's messages go to the log, or to the error if the server cannot be started.
 * felhomd has two: the HTTPS API (listener.h) and the metrics (server/metrics/exporter.c).
 */
#ifndef FELHOM_WEB_SERVER_H
#define FELHOM_WEB_SERVER_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/base/error.h"
#include "server/net/acceptor.h"

struct mg_connection; /* this and mg_context are CivetWeb's */
struct mg_context;
struct throttled_log;

struct web_server_options {
    struct sockaddr_in address;
    int socket;                /* listens on address, non-blocking; borrowed */
    struct throttled_log *log; /* borrowed */
    struct arrivals *arrivals; /* where each connection is noted; borrowed; NULL: nowhere */
    const char *log_prefix;    /* of CivetWeb's messages: "CivetWeb" */
    bool tls;                  /* by mod_mbedtls.inl; begin_thread must then return a connection */
    uint32_t threads;          /* workers; each serves one connection at a time */
    uint32_t queue;            /* accepted connections that may wait for a thread */
    uint32_t backlog;          /* connections that may wait in the kernel to be accepted */
    uint32_t header_limit;     /* of a request line with its headers, in bytes */
    uint64_t timeout_ms;       /* for a request and for the pause between two requests */
    bool keep_alive;

    /* Called when each of the server's threads begins. mg_get_thread_pointer() returns the result
     * in that thread, and end_thread gets it when the thread ends. Both may be NULL. */
    void *(*begin_thread)(void *context);
    void (*end_thread)(void *thread);
    /* Answers one request, whatever its path; returns the HTTP status that it sent. */
    int (*handle)(struct mg_connection *request, void *handle_context);
    void *handle_context;
    /* Answers a request that CivetWeb itself refuses. */
    void (*handle_error)(struct mg_connection *request, int status, void *context);
    void *context;
};

/* CivetWeb's first message while it was being started. */
struct startup_message {
    pthread_t starter;
    int errnum;
    char text[256];
};

struct web_server {
    struct acceptor acceptor; /* first: CivetWeb's user_data points here */
    struct web_server_options options;
    struct mg_context *civetweb;
    struct startup_message startup_message;
    atomic_bool accepting; /* the thread that accepts connections has begun */
    bool stuck;            /* has threads that cannot be stopped */
};

/*
 * Starts the server and waits until it accepts connections. The caller ends it with
 * web_server_stop. What the options point to must outlive the server, which must not be moved.
 *
 * On failure nothing remains of the server, unless server->stuck is set: then threads remain that
 * cannot be stopped, and neither *server nor what the options point to may ever be freed or moved.
 * They do not use the listening socket any more, so the caller may close it.
 */
int web_server_start(struct web_server *server, const struct web_server_options *options,
                     struct error *error);

/* Stops accepting and waits for the server's threads. CivetWeb cuts answers in progress short: to
 * let them finish, call acceptor_close first and wait until acceptor_connections is 0. */
void web_server_stop(struct web_server *server);

#endif
