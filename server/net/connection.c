/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/connection.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "server/base/counters.h"
#include "server/base/limiter.h"
#include "store/base/log.h"

#define STACK_KEEP_BYTES 4096 /* for the frames of the calls below, which are in use */

static void *stack_lowest(void)
{
    pthread_attr_t attributes;
    void *lowest = NULL;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return NULL;
    if (pthread_attr_getstack(&attributes, &lowest, &size) != 0)
        lowest = NULL;
    (void)pthread_attr_destroy(&attributes);
    return lowest;
}

/*
 * Gives the calling thread's stack below this call back to the system; the next use of it gets
 * zeroed pages. A handshake and a look into the store touch tens of kilobytes of stack; in hundreds
 * of threads that then wait for their next connection it would stay resident for nothing.
 */
static void stack_give_back(void *lowest)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    uintptr_t end = (here - STACK_KEEP_BYTES) & ~(page - 1);
    if (lowest && end > (uintptr_t)lowest)
        (void)madvise(lowest, end - (uintptr_t)lowest, MADV_DONTNEED);
}

struct connection *connection_new(struct entrance *entrance)
{
    struct connection *connection = mem_new(struct connection);
    connection->entrance = entrance;
    connection->stack_lowest = stack_lowest();
    return connection;
}

void connection_free(struct connection *connection)
{
    free(connection);
}

static int shake_hands(struct connection *connection)
{
    char name[PEER_NAME_SIZE];
    struct error error;
    struct entrance *entrance = connection->entrance;
    if (tls_accept(entrance->tls, connection->socket, &connection->session, &error) == 0)
        return 0;
    counters_add_handshake(entrance->counters,
                           error.kind == ERROR_BUSY ? HANDSHAKE_LATE : HANDSHAKE_FAILED);
    peer_name(&connection->peer, name);
    throttled_log_line(entrance->log, LOG_INFO, "%s: %s", name, error.message);
    return -1;
}

static bool is_admitted(struct connection *connection)
{
    const struct entrance *entrance = connection->entrance;
    enum refusal_reason refusal = gate_enter(entrance->gate, connection->socket, &connection->peer);
    if (refusal != REFUSAL_NONE)
        counters_add_refusal(entrance->counters, refusal);
    return refusal == REFUSAL_NONE;
}

int connection_open(struct connection *connection, int socket)
{
    struct entrance *entrance = connection->entrance;
    connection->socket = socket;
    if (!is_admitted(connection))
        return -1;
    if (shake_hands(connection) < 0) {
        gate_leave(entrance->gate, &connection->peer);
        stack_give_back(connection->stack_lowest);
        return -1;
    }
    return 0;
}

/* Bytes left unread would turn the close into a reset, which may overtake our last answer. */
static void discard_unread(int socket)
{
    char scrap[4096];
    int rounds = 16;
    while (rounds-- > 0 && recv(socket, scrap, sizeof(scrap), MSG_DONTWAIT) > 0)
        ;
}

void connection_close(struct connection *connection)
{
    if (connection->session) {
        tls_close(steal(connection->session));
        discard_unread(connection->socket);
        gate_leave(connection->entrance->gate, &connection->peer);
    }
    stack_give_back(connection->stack_lowest);
}

/* Of a buffer that was seen before only the part is blanked that others have soiled. */
void connection_blank(struct connection *connection, unsigned char *bytes, size_t count,
                      size_t size)
{
    struct request_buffer *buffer = &connection->buffer;
    unsigned char *end = bytes + size;
    if (!buffer->end)
        *buffer = (struct request_buffer){.end = end, .soiled_to = end};
    bool known = buffer->end == end;
    const unsigned char *soiled_to = known ? buffer->soiled_to : end;
    unsigned char *rest = bytes + count;
    if (soiled_to > rest)
        memset(rest, 0, (size_t)(soiled_to - rest));
    if (known)
        buffer->soiled_to = rest;
}

/* Another descriptor of the socket; CivetWeb's own becomes one of a socket that leads nowhere, for
 * it to shut down and close. */
static int take_socket(int socket_of_civetweb)
{
    cleanup_close int own = fcntl(socket_of_civetweb, F_DUPFD_CLOEXEC, 0);
    cleanup_close int dummy = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (own < 0 || dummy < 0 || dup3(dummy, socket_of_civetweb, O_CLOEXEC) < 0)
        return -1;
    return steal_fd(&own);
}

int connection_detach(struct connection *connection, struct detached *ret)
{
    int own = take_socket(connection->socket);
    if (own < 0)
        return -1;
    tls_move(connection->session, own);
    gate_park(connection->entrance->gate);
    *ret = (struct detached){
        .gate = connection->entrance->gate,
        .peer = connection->peer,
        .session = connection->session,
        .socket = own,
    };
    connection->session = NULL;
    return 0;
}

void detached_close(struct detached *detached)
{
    tls_close(detached->session);
    discard_unread(detached->socket);
    (void)close(detached->socket);
    gate_leave_parked(detached->gate, &detached->peer);
}
