/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection from accept to close: the gate checks it, then TLS begins.
 *
 * CivetWeb serves one connection at a time in each of its worker threads, so every worker owns one
 * struct connection and reuses it for each connection. It is the worker's thread pointer
 * (mg_get_thread_pointer) and serves civetweb.c as its SSL object.
 *
 * While a guest waits for an event, its connection can be detached from the worker, which then
 * serves other connections.
 */
#ifndef FELHOM_CONNECTION_H
#define FELHOM_CONNECTION_H

#include <stddef.h>

#include "server/net/gate.h"
#include "server/net/peer.h"
#include "server/tls/session.h"

struct arrivals;
struct counters;
struct throttled_log;
struct tls_context;

/* What all connections of a listener share; all of it is borrowed. */
struct connection_context {
    struct gate *gate;
    struct arrivals *arrivals; /* may be NULL */
    struct tls_context *tls;
    struct counters *counters; /* may be NULL */
    struct throttled_log *log;
};

/* The buffer into which civetweb.c reads a worker's requests, one after another. */
struct request_buffer {
    unsigned char *begin;     /* the lowest address that was read to */
    const unsigned char *end; /* NULL before the first request */
    unsigned char *dirty_end; /* all bytes from here to end are zero */
};

struct connection {
    struct connection_context *context;
    void *stack_lowest; /* the lowest address of the worker's stack; NULL if unknown */
    int socket;         /* CivetWeb's */
    struct peer peer;
    struct tls_session *session; /* NULL: the connection was detached */
    struct request_buffer buffer;
};

/* Makes the struct for the calling worker, which keeps it until it ends and then calls
 * connection_free. The context must outlive it. */
struct connection *connection_new(struct connection_context *context);
void connection_free(struct connection *connection);

/* Has the gate check the accepted socket, then does the TLS handshake. On -1 the caller only has to
 * close the socket. */
int connection_open(struct connection *connection, int socket);

/* Undoes connection_open, but leaves it to CivetWeb to close the socket. */
void connection_close(struct connection *connection);

/*
 * Zeroes the rest of civetweb.c's buffer after a read that stored count bytes at bytes, where size
 * bytes had room. civetweb.c searches its whole buffer for the end of a request, not only the bytes
 * that were read, so the buffer must not contain what another client sent to the same worker.
 */
void connection_blank(struct connection *connection, unsigned char *bytes, size_t count,
                      size_t size);

/* A connection that no longer belongs to a worker. */
struct detached_connection {
    struct gate *gate;
    struct peer peer;
    struct tls_session *session;
    int socket; /* owned */
};

/*
 * Takes the connection from the worker, which then treats it as closed. Fails only if no descriptor
 * is left; then nothing has changed. The caller ends *ret with detached_connection_close.
 */
int connection_detach(struct connection *connection, struct detached_connection *ret);

/* Sends a close_notify if that does not block, closes the socket, and wipes and frees the
 * session. */
void detached_connection_close(struct detached_connection *connection);

#endif
