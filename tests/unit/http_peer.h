/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP server on the loopback that answers by a script, and misbehaves if the script says so. It
 * accepts any number of connections at once, and records each complete request. */
#ifndef FELHOM_TEST_HTTP_PEER_H
#define FELHOM_TEST_HTTP_PEER_H

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/test.h"

#define PEER_CONNECTIONS  8
#define PEER_REQUESTS     8
#define PEER_REQUEST_SIZE 8192

enum peer_then {
    THEN_KEEP,    /* the connection, for the next request */
    THEN_CLOSE,   /* it */
    THEN_RESET,   /* it */
    THEN_TRICKLE, /* a byte now and then, for ever */
};

struct peer_answer {
    const char *text; /* NULL: nothing */
    enum peer_then then;
    const char *filler; /* sent again and again after the text */
    size_t times;
};

struct peer_connection {
    int fd;
    bool trickles;
    size_t length;
    char bytes[PEER_REQUEST_SIZE];
};

struct peer {
    char url[64];
    const struct peer_answer *answers; /* the nth for the nth request; then none */
    size_t answer_count;
    const char *greeting; /* sent to whoever connects; NULL: nothing */
    int listener;
    int ended; /* an eventfd */
    pthread_t thread;
    struct peer_connection connections[PEER_CONNECTIONS];
    size_t connection_count; /* all that ever came */
    size_t request_count;
    size_t bytes_count; /* all that ever came in */
    struct {
        char text[PEER_REQUEST_SIZE];
        size_t connection;
    } requests[PEER_REQUESTS];
};

/* Returns the length of the complete request at the beginning of the text; 0 if it is
 * incomplete. */
static inline size_t peer_request_length(const char *text, size_t length)
{
    const char *end = strstr(text, "\r\n\r\n");
    const char *field = strcasestr(text, "\r\nContent-Length: ");
    if (!end)
        return 0;
    size_t body =
        field && field < end ? strtoul(field + strlen("\r\nContent-Length: "), NULL, 10) : 0;
    size_t whole = (size_t)(end - text) + 4 + body;
    return whole <= length ? whole : 0;
}

static inline void peer_close(struct peer_connection *connection, bool reset)
{
    const struct linger at_once = {.l_onoff = 1};
    if (reset)
        (void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    (void)close(connection->fd);
    connection->fd = -1;
}

static inline void peer_send(const struct peer_connection *connection, const char *text)
{
    (void)!send(connection->fd, text, strlen(text), MSG_NOSIGNAL);
}

static inline void peer_answer(struct peer_connection *connection, const struct peer_answer *answer)
{
    if (answer->text)
        peer_send(connection, answer->text);
    for (size_t i = 0; i < answer->times; i++)
        peer_send(connection, answer->filler);
    if (answer->then == THEN_CLOSE || answer->then == THEN_RESET)
        peer_close(connection, answer->then == THEN_RESET);
    connection->trickles = answer->then == THEN_TRICKLE;
}

static inline void peer_take_request(struct peer *peer, size_t number, size_t length)
{
    struct peer_connection *connection = &peer->connections[number];
    size_t count = peer->request_count++;
    if (count < PEER_REQUESTS) {
        (void)snprintf(peer->requests[count].text, PEER_REQUEST_SIZE, "%.*s", (int)length,
                       connection->bytes);
        peer->requests[count].connection = number;
    }
    connection->length -= length;
    memmove(connection->bytes, connection->bytes + length, connection->length + 1);
    if (count < peer->answer_count)
        peer_answer(connection, &peer->answers[count]);
}

static inline void peer_read(struct peer *peer, size_t number)
{
    struct peer_connection *connection = &peer->connections[number];
    ssize_t count = recv(connection->fd, connection->bytes + connection->length,
                         sizeof connection->bytes - 1 - connection->length, 0);
    if (count <= 0) {
        peer_close(connection, false);
        return;
    }
    peer->bytes_count += (size_t)count;
    connection->length += (size_t)count;
    connection->bytes[connection->length] = '\0';
    size_t length = peer_request_length(connection->bytes, connection->length);
    if (length > 0)
        peer_take_request(peer, number, length);
}

static inline void peer_accept(struct peer *peer)
{
    struct peer_connection *connection = &peer->connections[peer->connection_count++];
    connection->fd = accept(peer->listener, NULL, NULL);
    if (peer->greeting)
        peer_send(connection, peer->greeting);
}

static inline void *peer_run(void *context)
{
    struct peer *peer = context;
    for (;;) {
        struct pollfd fds[PEER_CONNECTIONS + 2] = {{peer->ended, POLLIN, 0},
                                                   {peer->listener, POLLIN, 0}};
        for (size_t i = 0; i < peer->connection_count; i++)
            fds[i + 2] = (struct pollfd){peer->connections[i].fd, POLLIN, 0};
        (void)poll(fds, peer->connection_count + 2, 50);
        if (fds[0].revents)
            return NULL;
        for (size_t i = 0; i < peer->connection_count; i++) {
            if (peer->connections[i].trickles && peer->connections[i].fd >= 0)
                peer_send(&peer->connections[i], "x");
            if (fds[i + 2].revents)
                peer_read(peer, i);
        }
        if (fds[1].revents && peer->connection_count < PEER_CONNECTIONS)
            peer_accept(peer);
    }
}

/* A socket that listens on a free port of the loopback. */
static inline int peer_listen(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static inline struct peer *peer_start(const struct peer_answer *answers, size_t count)
{
    uint16_t port;
    struct peer *peer = calloc(1, sizeof *peer);
    peer->answers = answers;
    peer->answer_count = count;
    peer->listener = peer_listen(&port);
    peer->ended = eventfd(0, EFD_CLOEXEC);
    (void)snprintf(peer->url, sizeof peer->url, "http://127.0.0.1:%u", port);
    assert_int_equal(pthread_create(&peer->thread, NULL, peer_run, peer), 0);
    return peer;
}

/* After this call the records may be read. */
static inline void peer_end(struct peer *peer)
{
    assert_int_equal(eventfd_write(peer->ended, 1), 0);
    assert_int_equal(pthread_join(peer->thread, NULL), 0);
    (void)close(peer->ended);
    (void)close(peer->listener);
    for (size_t i = 0; i < peer->connection_count; i++) {
        if (peer->connections[i].fd >= 0)
            (void)close(peer->connections[i].fd);
    }
}

#endif
