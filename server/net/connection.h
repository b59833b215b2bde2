/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection from accept to close: first the gate, then TLS.
 *
 * CivetWeb serves one connection at a time in each of its worker threads, so every worker owns one
 * struct connection and uses it again and again. It is the worker's thread pointer
 * (mg_get_thread_pointer) and, for civetweb.c, its SSL object.
 *
 * A connection whose guest waits for an event can be detached from its worker, which then serves
 * others meanwhile.
 */
#ifndef FELHOM_CONNECTION_H
#define FELHOM_CONNECTION_H

#include <stddef.h>

#include "server/net/gate.h"
#include "server/net/peer.h"
#include "server/tls/session.h"

struct counters;
struct throttled_log;
struct tls_context;

/* What all connections of a listener share; all of it is borrowed. */
struct connection_context {
    struct gate *gate;
    struct tls_context *tls;
    struct counters *counters; /* may be NULL */
    struct throttled_log *log;
};

/* The buffer that civetweb.c reads a worker's requests into, one after another. */
struct request_buffer {
    const unsigned char *end; /* NULL before the first request */
    unsigned char *dirty_end; /* from here to the end there are nothing but zeros */
};

struct connection {
    struct connection_context *context;
    void *stack_lowest; /* the end of the worker's stack; NULL if it cannot be found out */
    int socket;         /* CivetWeb's */
    struct peer peer;
    struct tls_session *session; /* NULL: the connection was detached */
    struct request_buffer buffer;
};

/* Makes the calling worker's connection, for all the worker's life. The context must outlive it. */
struct connection *connection_new(struct connection_context *context);
void connection_free(struct connection *connection);

/* Has the gate judge the accepted socket, and shakes hands. On -1 the caller has nothing left to
 * undo but to close the socket. */
int connection_open(struct connection *connection, int socket);

/* Ends what connection_open began; closing the socket remains CivetWeb's. */
void connection_close(struct connection *connection);

/*
 * Zeroes the rest of civetweb.c's buffer after a read: count bytes of the size that were offered
 * were read to bytes. civetweb.c looks for the end of a request in all of its buffer, not only in
 * what came: nothing that another peer sent to the same worker may be there.
 */
void connection_blank(struct connection *connection, unsigned char *bytes, size_t count,
                      size_t size);

/* A connection that goes on without its worker. */
struct detached_connection {
    struct gate *gate;
    struct peer peer;
    struct tls_session *session;
    int socket; /* its own */
};

/*
 * Takes the connection from the worker, for which it is as good as closed from then on. Fails only
 * if no descriptor is left; nothing has changed then. *ret ends with detached_connection_close.
 */
int connection_detach(struct connection *connection, struct detached_connection *ret);

/* Says goodbye, closes the socket and wipes the session. */
void detached_connection_close(struct detached_connection *connection);

#endif
