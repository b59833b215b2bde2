/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets. An acceptor accepts the connections on one of them in place of CivetWeb.
 *
 * By itself, CivetWeb opens its own listening socket and closes it with the server; it checks its
 * stop flag every two seconds, or when something happens on that socket; and it spins if no
 * descriptor is left for a connection. So mod_mbedtls.inl makes CivetWeb use a socket of ours,
 * which outlives the server: between two servers, connections wait in the kernel. CivetWeb polls an
 * epoll instance, which a connection or acceptor_stop wakes, and gets its connections from
 * acceptor_accept.
 *
 * The user_data (civetweb.h) of such a server points to its struct acceptor, which may be the first
 * member of a larger struct.
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

struct mg_connection; /* this and mg_context are CivetWeb's */
struct mg_context;
struct arrivals;
struct throttled_log;

struct acceptor {
    int socket;                /* listens; borrowed */
    struct throttled_log *log; /* borrowed */
    struct arrivals *arrivals; /* where each connection is noted; borrowed; NULL: nowhere */
    int epoll_fd;              /* watches the socket and wake_fd */
    int wake_fd;               /* an eventfd; once written to, it stays readable */
    int polled_fd;             /* the descriptor that CivetWeb polls; -1 before it has one */
    pthread_mutex_t lock;      /* guards closed */
    bool closed;
    atomic_uint connections; /* accepted and not closed yet */
};

/* socket: a listening, non-blocking socket; it and the log must outlive the acceptor. The caller
 * calls acceptor_destroy, after the server has ended. */
int acceptor_init(struct acceptor *acceptor, int socket, struct throttled_log *log,
                  struct error *error);
void acceptor_destroy(struct acceptor *acceptor);

/* Once this has returned, no further connection is accepted: new connections wait in the kernel for
 * the next server on the socket. */
void acceptor_close(struct acceptor *acceptor);

/* Does the same and wakes the accepting thread, so that mg_stop(), called next, returns at once. */
void acceptor_stop(struct acceptor *acceptor);

/* How many connections were accepted and are not closed yet. */
uint32_t acceptor_connections(const struct acceptor *acceptor);

/* For a server that did not start: closes the descriptor that CivetWeb may have left open. */
void acceptor_reclaim(struct acceptor *acceptor);

/* Call it from CivetWeb's callback init_thread, with the arguments of that. Returns true in the
 * thread that accepts connections. */
bool acceptor_begin_thread(const struct mg_context *server, int type);

/* Serves as CivetWeb's callback connection_closed: counts the connection as closed. */
void acceptor_connection_closed(const struct mg_connection *connection);

/* civetweb.c calls these in place of bind(2) and accept(2). Both return -1 on failure. */
int acceptor_bind(struct acceptor *acceptor, int fd);
int acceptor_accept(struct acceptor *acceptor, struct sockaddr *address, socklen_t *size);

#endif
