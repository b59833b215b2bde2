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
#include "server/net/arrival.h"
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
 * Returns the calling thread's unused stack, below this call's frame, to the system; when it is
 * used again, the kernel supplies zeroed pages. A handshake or a query of the store touches tens of
 * kilobytes of stack, which would otherwise stay resident in hundreds of threads that only wait for
 * their next connection.
 */
static void stack_give_back(void *lowest)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    uintptr_t end = (here - STACK_KEEP_BYTES) & ~(page - 1);
    if (lowest && end > (uintptr_t)lowest)
        (void)madvise(lowest, end - (uintptr_t)lowest, MADV_DONTNEED);
}

struct connection *connection_new(struct connection_context *context)
{
    struct connection *connection = mem_new(struct connection);
    connection->context = context;
    connection->stack_lowest = stack_lowest();
    return connection;
}

void connection_free(struct connection *connection)
{
    free(connection);
}

static int connection_shake_hands(struct connection *connection)
{
    char name[PEER_NAME_SIZE];
    struct error error;
    struct connection_context *context = connection->context;
    if (tls_accept(context->tls, connection->socket, &connection->session, &error) == 0)
        return 0;
    counters_add_handshake(context->counters,
                           error.kind == ERROR_BUSY ? HANDSHAKE_LATE : HANDSHAKE_FAILED);
    peer_name(&connection->peer, name);
    throttled_log_line(context->log, LOG_INFO, "%s: %s", name, error.message);
    return -1;
}

static bool connection_is_admitted(struct connection *connection)
{
    const struct connection_context *context = connection->context;
    enum refusal_reason refusal = gate_enter(context->gate, connection->socket, &connection->peer);
    if (refusal != REFUSAL_NONE)
        counters_add_refusal(context->counters, refusal);
    return refusal == REFUSAL_NONE;
}

/* Whoever has begun the connection must also be the one who has gone on with it. */
static bool connection_is_confirmed(struct connection *connection)
{
    const struct connection_context *context = connection->context;
    size_t size = connection->session ? tls_handshake_size(connection->session) : 0;
    return !context->arrivals || arrivals_confirm(context->arrivals, connection->socket, size);
}

static void connection_refuse_other(struct connection *connection)
{
    struct connection_context *context = connection->context;
    counters_add_refusal(context->counters, REFUSAL_UNWITNESSED);
    tls_close(steal(connection->session));
    gate_refuse(context->gate, &connection->peer, REFUSAL_UNWITNESSED);
}

int connection_open(struct connection *connection, int socket)
{
    struct connection_context *context = connection->context;
    connection->socket = socket;
    if (!connection_is_admitted(connection)) {
        (void)connection_is_confirmed(connection);
        return -1;
    }
    bool has_shaken_hands = connection_shake_hands(connection) == 0;
    bool is_confirmed = connection_is_confirmed(connection);
    if (has_shaken_hands && is_confirmed)
        return 0;
    if (has_shaken_hands)
        connection_refuse_other(connection);
    else
        gate_leave(context->gate, &connection->peer);
    stack_give_back(connection->stack_lowest);
    return -1;
}

/* If bytes are left unread, close() sends a reset, and the client may lose our last answer. */
static void discard_unread(int socket)
{
    char scrap[4096];
    int rounds = 16;
    while (rounds-- > 0 && recv(socket, scrap, sizeof(scrap), MSG_DONTWAIT) > 0)
        ;
}

/* If the buffer is the same as last time, only the part that reads have written to is zeroed. */
void connection_blank(struct connection *connection, unsigned char *bytes, size_t count,
                      size_t size)
{
    struct request_buffer *buffer = &connection->buffer;
    unsigned char *end = bytes + size;
    if (!buffer->end)
        *buffer = (struct request_buffer){.begin = bytes, .end = end, .dirty_end = end};
    bool known = buffer->end == end;
    const unsigned char *dirty_end = known ? buffer->dirty_end : end;
    unsigned char *rest = bytes + count;
    if (dirty_end > rest)
        memset(rest, 0, (size_t)(dirty_end - rest));
    if (!known)
        return;
    buffer->dirty_end = rest;
    if (bytes < buffer->begin)
        buffer->begin = bytes;
}

/* Wipes what the client has sent: the next one may be long in coming, and a request that was
 * refused early can hold a good token. */
static void connection_wipe_buffer(struct request_buffer *buffer)
{
    if (!buffer->end)
        return;
    explicit_bzero(buffer->begin, (size_t)(buffer->dirty_end - buffer->begin));
    buffer->dirty_end = buffer->begin;
}

void connection_close(struct connection *connection)
{
    if (connection->session) {
        tls_close(steal(connection->session));
        discard_unread(connection->socket);
        gate_leave(connection->context->gate, &connection->peer);
    }
    connection_wipe_buffer(&connection->buffer);
    stack_give_back(connection->stack_lowest);
}

/* Returns a new descriptor of the socket. CivetWeb's descriptor is replaced by an unconnected
 * socket, for CivetWeb to shut down and close. */
static int take_socket_over(int socket_of_civetweb)
{
    cleanup_close int own = fcntl(socket_of_civetweb, F_DUPFD_CLOEXEC, 0);
    cleanup_close int dummy = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (own < 0 || dummy < 0 || dup3(dummy, socket_of_civetweb, O_CLOEXEC) < 0)
        return -1;
    return steal_fd(&own);
}

int connection_detach(struct connection *connection, struct detached_connection *ret)
{
    int own = take_socket_over(connection->socket);
    if (own < 0)
        return -1;
    tls_move(connection->session, own);
    gate_detach(connection->context->gate);
    *ret = (struct detached_connection){
        .gate = connection->context->gate,
        .peer = connection->peer,
        .session = connection->session,
        .socket = own,
    };
    connection->session = NULL;
    return 0;
}

void detached_connection_close(struct detached_connection *connection)
{
    tls_close(connection->session);
    discard_unread(connection->socket);
    (void)close(connection->socket);
    gate_leave_detached(connection->gate, &connection->peer);
}
