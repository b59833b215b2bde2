/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where connections come in to a CivetWeb server. By itself CivetWeb makes its own listening socket
 * and closes it with the server; it looks at its stop flag every two seconds, or when something
 * happens on that socket; and it is busy without end where there is no descriptor left for a
 * connection. So mod_mbedtls.inl has it use a socket of ours, which outlives it: while there is no
 * server, connections wait in the kernel for the next one. What it polls is an epoll instance,
 * which a connection or our bell wakes, and what it accepts comes from door_accept.
 *
 * The user_data of such a server is its struct door, with which its own struct begins.
 */
#ifndef FELHOM_DOOR_H
#define FELHOM_DOOR_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "schema/base/error.h"

struct mg_connection; /* CivetWeb's, as is the next */
struct mg_context;
struct throttled_log;

struct door {
    int socket;                /* listens; borrowed */
    struct throttled_log *log; /* borrowed */
    int epoll_fd;
    int bell_fd;          /* an eventfd, which stays readable once rung */
    int polled_fd;        /* CivetWeb's; -1 before it has one */
    pthread_mutex_t lock; /* of closed */
    bool closed;
    atomic_uint inside; /* connections, until their socket is closed */
};

/* socket: a listening one that never blocks; it and the log outlive the door. Ends with
 * door_destroy, after the server. */
int door_init(struct door *door, int socket, struct throttled_log *log, struct error *error);
void door_destroy(struct door *door);

/* Nobody is let in any more, once it returns: who knocks waits for the socket's next server. */
void door_close(struct door *door);

/* Connections that were let in and have not left. */
uint32_t door_inside(const struct door *door);

/* Stops and frees the server, without delay. */
void door_end(struct door *door, struct mg_context *server);

/* For a server that did not start: takes away what it may have kept of the socket. */
void door_take_back(struct door *door);

/* CivetWeb's callbacks init_thread (which returns NULL) and connection_closed. */
void *door_begin_thread(const struct mg_context *server, int type);
void door_leave(const struct mg_connection *connection);

/* What civetweb.c calls in place of bind and accept. */
int door_bind(struct door *door, int fd);
int door_accept(struct door *door, struct sockaddr *address, socklen_t *size);

/* A socket that is listened on. */

#define LISTENING_NAME_SIZE 24
#define LISTENING_BACKLOG   1024 /* connections that may wait to be accepted */

/* "192.168.0.162:8443" */
void listening_name(const struct sockaddr_in *address, char ret[static LISTENING_NAME_SIZE]);

/* *ret never blocks, and is the caller's to close. */
int listening_open(const struct sockaddr_in *address, int *ret, struct error *error);

/* Whether it is a TCP socket that listens on exactly this address and port. */
bool listening_on(int fd, const struct sockaddr_in *address);

#endif
