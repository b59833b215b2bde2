/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tls/session.h"

#include <ctype.h>
#include <errno.h>
#include <mbedtls/net_sockets.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "server/tls/context.h"
#include "store/base/clock.h"

/* What a session is doing or waiting for; each phase has its own deadline. */
enum phase {
    PHASE_HANDSHAKE,
    PHASE_FIRST,   /* until the first byte of the first request */
    PHASE_PAUSE,   /* until the first byte of each further request */
    PHASE_RECEIVE, /* until the request's last byte */
    PHASE_SEND,    /* until the next read */
};

#define AHEAD 2048 /* most requests are one record shorter than this */

/* Bytes received before mbedTLS asked for them. mbedTLS asks for a record's header and for the rest
 * separately, which would need two system calls for each request. */
struct read_ahead {
    unsigned char bytes[AHEAD];
    size_t begin;
    size_t end;
};

struct tls_session {
    struct tls_context *context;
    struct tls_generation *generation; /* held */
    int socket;
    enum phase phase;
    int64_t deadline_us;
    bool first_wait_shortened; /* an interruption has shortened the wait for the first request */
    bool timed_out;
    bool broken; /* an answer was cut short, so nothing may be sent after it */
    size_t handshake_size;
    size_t request_size;
    struct read_ahead ahead;
    mbedtls_ssl_context ssl;
};

static size_t read_ahead_count(const struct tls_session *session)
{
    return session->ahead.end - session->ahead.begin;
}

static int socket_receive(struct tls_session *session, unsigned char *bytes, size_t size)
{
    ssize_t count = recv(session->socket, bytes, size, MSG_DONTWAIT);
    if (count >= 0)
        return (int)count;
    if (errno == EAGAIN || errno == EINTR)
        return MBEDTLS_ERR_SSL_WANT_READ;
    return MBEDTLS_ERR_NET_RECV_FAILED;
}

static int read_ahead_take(struct tls_session *session, unsigned char *bytes, size_t size)
{
    struct read_ahead *ahead = &session->ahead;
    size_t count = size < read_ahead_count(session) ? size : read_ahead_count(session);
    memcpy(bytes, ahead->bytes + ahead->begin, count);
    ahead->begin += count;
    return (int)count;
}

static int session_receive(struct tls_session *session, unsigned char *bytes, size_t size)
{
    if (read_ahead_count(session) > 0)
        return read_ahead_take(session, bytes, size);
    if (size >= AHEAD)
        return socket_receive(session, bytes, size);
    int count = socket_receive(session, session->ahead.bytes, AHEAD);
    if (count <= 0)
        return count;
    session->ahead.begin = 0;
    session->ahead.end = (size_t)count;
    return read_ahead_take(session, bytes, size);
}

/* mbedTLS asks for no more than the record that it needs. */
static int receive_bytes(void *context, unsigned char *bytes, size_t size)
{
    struct tls_session *session = context;
    int count = session_receive(session, bytes, size);
    if (session->phase == PHASE_HANDSHAKE && count > 0)
        session->handshake_size += (size_t)count;
    return count;
}

static int send_bytes(void *context, const unsigned char *bytes, size_t size)
{
    const struct tls_session *session = context;
    ssize_t count = send(session->socket, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0)
        return (int)count;
    if (errno == EAGAIN || errno == EINTR)
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    return MBEDTLS_ERR_NET_SEND_FAILED;
}

static void session_enter_phase(struct tls_session *session, enum phase phase, uint64_t limit_ms)
{
    session->phase = phase;
    session->deadline_us = clock_steady_us() + (int64_t)limit_ms * 1000;
}

static bool session_is_late(const struct tls_session *session)
{
    return clock_steady_us() >= session->deadline_us;
}

/* Returns the time to the deadline, rounded up so that the last wait does not end just before it; 0
 * once the deadline has passed. */
static int milliseconds_left(const struct tls_session *session)
{
    int64_t left_us = session->deadline_us - clock_steady_us();
    return left_us > 0 ? (int)((left_us + 999) / 1000) : 0;
}

static int interrupt_fd_of(const struct tls_session *session)
{
    bool waits = session->phase == PHASE_PAUSE ||
                 (session->phase == PHASE_FIRST && !session->first_wait_shortened);
    return waits ? session->context->interrupt_fd : -1;
}

/* True if the client may keep the connection open: one that has made no request yet may make one,
 * within handshake_ms. */
static bool interruption_allows_request(struct tls_session *session)
{
    int64_t end_us = clock_steady_us() + (int64_t)session->context->limits.handshake_ms * 1000;
    if (session->phase == PHASE_FIRST && end_us < session->deadline_us)
        session->deadline_us = end_us;
    session->first_wait_shortened = session->phase == PHASE_FIRST;
    return session->first_wait_shortened;
}

/* Waits until mbedTLS can continue. Returns false at the deadline, at an interruption, or if code
 * is not one of mbedTLS's requests to wait. */
static bool session_wait(struct tls_session *session, int code)
{
    if (code != MBEDTLS_ERR_SSL_WANT_READ && code != MBEDTLS_ERR_SSL_WANT_WRITE)
        return false;
    struct pollfd polled[] = {
        {.fd = session->socket, .events = code == MBEDTLS_ERR_SSL_WANT_READ ? POLLIN : POLLOUT},
        {.fd = interrupt_fd_of(session), .events = POLLIN},
    };
    int ready = poll(polled, ARRAY_SIZE(polled), milliseconds_left(session));
    if (ready < 0)
        return errno == EINTR;
    if (ready > 0 && polled[0].revents == 0)
        return interruption_allows_request(session);
    return ready > 0;
}

static int session_handshake(struct tls_session *session, struct error *error)
{
    int code;
    do
        code = mbedtls_ssl_handshake(&session->ssl);
    while (code != 0 && !session_is_late(session) && session_wait(session, code));
    if (code == 0)
        return 0;
    if (session_is_late(session))
        return fail(error, ERROR_BUSY, "the TLS handshake was not finished in time");
    return tls_fail(error, code, "the TLS handshake failed");
}

int tls_accept(struct tls_context *context, int socket, struct tls_session **ret,
               struct error *error)
{
    struct tls_session *session = mem_new(struct tls_session);
    session->context = context;
    session->generation = tls_context_hold(context);
    session->socket = socket;
    session_enter_phase(session, PHASE_HANDSHAKE, context->limits.handshake_ms);
    errno = 0; /* see schema/base/mbedtls.h */
    mbedtls_ssl_init(&session->ssl);
    mbedtls_ssl_set_bio(&session->ssl, session, send_bytes, receive_bytes, NULL);
    int code = mbedtls_ssl_setup(&session->ssl, &session->generation->config);
    if (code != 0)
        (void)tls_fail(error, code, "cannot set up a TLS session");
    if (code != 0 || session_handshake(session, error) < 0) {
        tls_close(session);
        return -1;
    }
    session_enter_phase(session, PHASE_FIRST, context->limits.request_ms);
    *ret = session;
    return 0;
}

size_t tls_handshake_size(const struct tls_session *session)
{
    return session->handshake_size;
}

/* The first byte that is read after an answer begins a request. */
static void session_count_received(struct tls_session *session, int count)
{
    if (session->phase == PHASE_FIRST || session->phase == PHASE_PAUSE) {
        session->request_size = 0;
        session_enter_phase(session, PHASE_RECEIVE, session->context->limits.request_ms);
    }
    session->request_size += (size_t)count;
}

static bool session_is_over(const struct tls_session *session)
{
    return session->broken || session->timed_out || session_is_late(session);
}

/* Checks the deadline before each read: a client may send its request byte by byte. */
static int session_try_read(struct tls_session *session, unsigned char *bytes, size_t size)
{
    return session_is_over(session) ? -1 : mbedtls_ssl_read(&session->ssl, bytes, size);
}

static int session_read_some(struct tls_session *session, unsigned char *bytes, size_t size)
{
    int count = session_try_read(session, bytes, size);
    while (count < 0 && session_wait(session, count))
        count = session_try_read(session, bytes, size);
    return count > 0 ? count : -1;
}

/* Returns how many of the count bytes remain. */
static int drop_leading_blanks(unsigned char *bytes, int count)
{
    int blanks = 0;
    while (blanks < count && isspace(bytes[blanks]))
        blanks++;
    memmove(bytes, bytes + blanks, (size_t)(count - blanks));
    return count - blanks;
}

/* Skips blanks: CivetWeb would take an empty line before a request for the end of its headers. */
static int session_read_beginning(struct tls_session *session, unsigned char *bytes, size_t size)
{
    int count;
    do {
        count = session_read_some(session, bytes, size);
        if (count > 0)
            count = drop_leading_blanks(bytes, count);
    } while (count == 0);
    return count;
}

/* Waits for the next request. Returns false if there will be none. Does not try to read before it
 * waits: right after an answer the next request has hardly ever arrived. */
static bool session_wait_for_request(struct tls_session *session)
{
    session_enter_phase(session, PHASE_PAUSE, session->context->limits.idle_ms);
    if (session->broken)
        return false;
    return read_ahead_count(session) > 0 || mbedtls_ssl_check_pending(&session->ssl) ||
           session_wait(session, MBEDTLS_ERR_SSL_WANT_READ);
}

int tls_read(struct tls_session *session, void *bytes, size_t size)
{
    if (session->phase == PHASE_SEND && !session_wait_for_request(session))
        return -1;
    int count = session->phase == PHASE_RECEIVE ? session_read_some(session, bytes, size)
                                                : session_read_beginning(session, bytes, size);
    if (count > 0)
        session_count_received(session, count);
    else
        session->timed_out |= session->phase == PHASE_RECEIVE && session_is_late(session);
    return count;
}

int tls_write(struct tls_session *session, const void *bytes, size_t size)
{
    int count;
    if (session->phase != PHASE_SEND)
        session_enter_phase(session, PHASE_SEND, session->context->limits.request_ms);
    do
        count = session->broken ? -1 : mbedtls_ssl_write(&session->ssl, bytes, size);
    while (count < 0 && session_wait(session, count));
    session->broken = count <= 0;
    return session->broken ? -1 : count;
}

int tls_try_write(struct tls_session *session, const void *bytes, size_t size)
{
    int count = session->broken ? -1 : mbedtls_ssl_write(&session->ssl, bytes, size);
    if (count == MBEDTLS_ERR_SSL_WANT_READ || count == MBEDTLS_ERR_SSL_WANT_WRITE)
        return 0;
    session->broken = count <= 0;
    return session->broken ? -1 : count;
}

void tls_expect_rest(struct tls_session *session)
{
    session_enter_phase(session, PHASE_RECEIVE, session->context->limits.request_ms);
}

void tls_move(struct tls_session *session, int socket)
{
    session->socket = socket;
}

bool tls_timed_out(const struct tls_session *session)
{
    return session && session->timed_out;
}

size_t tls_request_size(const struct tls_session *session)
{
    return session ? session->request_size : 0;
}

void tls_close(struct tls_session *session)
{
    (void)mbedtls_ssl_close_notify(&session->ssl);
    mbedtls_ssl_free(&session->ssl);
    tls_generation_drop(session->generation);
    free(session);
}
