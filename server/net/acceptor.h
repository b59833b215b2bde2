/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets, and the accepting of connections on them in place of CivetWeb.
 *
 * By itself CivetWeb makes its own listening socket and closes it with the server; it looks at its
 * stop flag every two seconds, or when something happens on that socket; and it spins where no
 * descriptor is left for a connection. So mod_mbedtls.inl has it use a socket of ours, which
 * outlives it: while there is no server, connections wait in the kernel for the next one. What
 * CivetWeb polls is an epoll instance, which a connection or acceptor_stop wakes, and the
 * connections it gets come from acceptor_accept.
 *
 * The user_data of such a server points to its struct acceptor, with which a larger struct may
 * begin (civetweb.h).
 */
#ifndef FELHOM_ACCEPTOR_H
#define FELHOM_ACCEPTOR_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "schema/base/error.h"

#define LISTENING_NAME_SIZE 24
#define LISTENING_BACKLOG   1024 /* connections that may wait in the kernel to be accepted */

/* Writes "192.168.0.162:8443". */
void listening_name(const struct sockaddr_in *address, char ret[static LISTENING_NAME_SIZE]);

/* Opens a TCP socket that listens on the address and never blocks. The caller closes *ret. */
int listening_open(const struct sockaddr_in *address, int *ret, struct error *error);

/* True if fd is a TCP socket that listens on exactly this address and port. */
bool listening_on(int fd, const struct sockaddr_in *address);

struct mg_connection; /* CivetWeb's, as is the next */
struct mg_context;
struct throttled_log;

struct acceptor {
    int socket;                /* listens; borrowed */
    struct throttled_log *log; /* borrowed */
    int epoll_fd;              /* watches the socket and wake_fd */
    int wake_fd;               /* an eventfd; once written to, it stays readable */
    int polled_fd;             /* the one CivetWeb polls; -1 before it has one */
    pthread_mutex_t lock;      /* of closed */
    bool closed;
    atomic_uint connections; /* accepted, and their socket not closed yet */
};

/* socket: a listening one that never blocks; it and the log outlive the acceptor. Ends with
 * acceptor_destroy, after the server. */
int acceptor_init(struct acceptor *acceptor, int socket, struct throttled_log *log,
                  struct error *error);
void acceptor_destroy(struct acceptor *acceptor);

/* Once this returns, no connection is accepted any more: those to come wait for the next server of
 * the socket. */
void acceptor_close(struct acceptor *acceptor);

/* The same, and wakes the accepting thread, so that mg_stop(), called next, takes no time. */
void acceptor_stop(struct acceptor *acceptor);

/* How many connections were accepted and are not closed yet. */
uint32_t acceptor_connections(const struct acceptor *acceptor);

/* For a server that did not start: closes what it may have kept of the socket. */
void acceptor_reclaim(struct acceptor *acceptor);

/* To be called from CivetWeb's callback init_thread, with its arguments. Returns true in the thread
 * that accepts connections. */
bool acceptor_begin_thread(const struct mg_context *server, int type);

/* CivetWeb's callback connection_closed. */
void acceptor_connection_closed(const struct mg_connection *connection);

/* What civetweb.c calls in place of bind(2) and accept(2). */
int acceptor_bind(struct acceptor *acceptor, int fd);
int acceptor_accept(struct acceptor *acceptor, struct sockaddr *address, socklen_t *size);

#endif
