/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CivetWeb server as felhomd runs it: on a listening socket of the caller's, behind an acceptor
 * (acceptor.h), with what CivetWeb complains about in the log or in the error of the start. felhomd
 * has two: the HTTPS API (listener.h) and the metrics (server/metrics/exporter.c).
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

struct mg_connection; /* CivetWeb's, as is the next */
struct mg_context;
struct throttled_log;

struct web_server_options {
    struct sockaddr_in address;
    int socket;                /* listens on address, and never blocks; borrowed */
    struct throttled_log *log; /* borrowed */
    const char *log_prefix;    /* of CivetWeb's messages: "CivetWeb" */
    bool tls;                  /* by mod_mbedtls.inl; begin_thread must return a connection then */
    uint32_t threads;          /* that serve connections, each one at a time */
    uint32_t queue;            /* accepted connections that may wait for a thread */
    uint32_t backlog;          /* connections that may wait in the kernel to be accepted */
    uint32_t header_limit;     /* of a request line with its headers, in bytes */
    uint64_t timeout_ms;       /* for a request, and for the pause between two */
    bool keep_alive;

    /* Called as each of the server's threads begins; the result is what mg_get_thread_pointer()
     * returns in that thread, and is passed to end_thread. Both may be NULL. */
    void *(*begin_thread)(void *context);
    void (*end_thread)(void *thread);
    /* Answers one request, whatever its path; returns the HTTP status that it sent. */
    int (*handle)(struct mg_connection *request, void *context);
    /* Answers a request that CivetWeb itself refuses. */
    void (*handle_error)(struct mg_connection *request, int status, void *context);
    void *context;
};

/* What CivetWeb complained about first while it was being started. */
struct web_server_complaint {
    pthread_t starter;
    int errnum;
    char message[256];
};

struct web_server {
    struct acceptor acceptor; /* first: CivetWeb's user_data points here */
    struct web_server_options options;
    struct mg_context *civetweb;
    struct web_server_complaint complaint;
    atomic_bool accepting; /* the thread that accepts connections has begun */
    bool stuck;
};

/*
 * Starts the server and waits until it accepts connections. Ends with web_server_stop. What the
 * options point to must outlive the server, which must not be moved.
 *
 * On failure nothing is left of it, unless server->stuck is set: then threads remain that nobody
 * can stop, and *server and what the options point to must stay where they are for good.
 */
int web_server_start(struct web_server *server, const struct web_server_options *options,
                     struct error *error);

/* Accepts no more connections and waits for the requests under way. CivetWeb cuts answers short if
 * there are any: see acceptor_close and acceptor_connections to wait for those first. */
void web_server_stop(struct web_server *server);

#endif
