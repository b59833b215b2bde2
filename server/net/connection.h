/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection from accept to close: first the gate, then TLS. CivetWeb serves one connection at a
 * time in each worker thread, so every worker owns one struct connection and uses it again and
 * again. It is the worker's thread pointer (mg_get_thread_pointer) and, for civetweb.c, its SSL
 * object.
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
struct entrance {
    struct gate *gate;
    struct tls_context *tls;
    struct counters *counters; /* may be NULL */
    struct throttled_log *log;
};

/* The buffer that a worker's requests are read into, one after another. */
struct request_buffer {
    const unsigned char *end; /* NULL before the first request */
    unsigned char *soiled_to; /* there is nothing but zeros behind it */
};

struct connection {
    struct entrance *entrance;
    void *stack_lowest; /* the end of the worker's stack; NULL if it cannot be found out */
    int socket;         /* CivetWeb's */
    struct peer peer;
    struct tls_session *session; /* NULL: it was detached */
    struct request_buffer buffer;
};

/* For the calling worker thread, for all its life. The entrance outlives it. */
struct connection *connection_new(struct entrance *entrance);
void connection_free(struct connection *connection);

/* Lets the accepted socket in and shakes hands. -1: nothing is left to undo but the socket's close.
 */
int connection_open(struct connection *connection, int socket);

/* Ends what connection_open began; the socket's close remains CivetWeb's. */
void connection_close(struct connection *connection);

/*
 * After count of size bytes were read to where they are: blanks the others. civetweb.c offers what
 * is left of its buffer, and looks for a request's end in all of it, not only in what came: nothing
 * that another peer sent to the same worker may be there.
 */
void connection_blank(struct connection *connection, unsigned char *bytes, size_t count,
                      size_t size);

/* A connection that goes on without its worker. */
struct detached {
    struct gate *gate;
    struct peer peer;
    struct tls_session *session;
    int socket; /* its own */
};

/*
 * Takes the connection from the worker, to which it is as good as closed from then on. -1 where
 * there are no descriptors to spare; nothing has changed then. *ret ends with detached_close.
 */
int connection_detach(struct connection *connection, struct detached *ret);

/* Says goodbye, closes the socket and wipes the session. */
void detached_close(struct detached *detached);

#endif
