/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TLS connection, from the handshake to close_notify. Sockets are non-blocking; every wait is a
 * poll() that ends at the deadline of the session's present phase: handshake, pause before a
 * request, receiving a request, or sending an answer. struct tls_limits (context.h) sets how long
 * each may take.
 *
 * A session is used by one thread at a time.
 */
#ifndef FELHOM_TLS_SESSION_H
#define FELHOM_TLS_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include "schema/base/error.h"

struct tls_context;
struct tls_session;

/*
 * Does the server's side of the handshake on a connected, non-blocking socket, which the caller
 * keeps and closes. Fails with ERROR_BUSY if the handshake was not finished in time. The context
 * must outlive *ret, which the caller ends with tls_close.
 */
int tls_accept(struct tls_context *context, int socket, struct tls_session **ret,
               struct error *error);

/* Returns how many bytes the client has sent for the handshake. */
size_t tls_handshake_size(const struct tls_session *session);

/* Waits for bytes of a request and returns how many were read, at least one; -1 at the end of the
 * connection, on a failure or at the deadline. Skips blanks and empty lines before a request. */
int tls_read(struct tls_session *session, void *bytes, size_t size);

/* Returns how many of the bytes were sent, at least one; -1 on a failure or at the deadline. */
int tls_write(struct tls_session *session, const void *bytes, size_t size);

/* Like tls_write, but does not wait: returns 0 if nothing can be sent now. The next call must then
 * begin with the same bytes. */
int tls_try_write(struct tls_session *session, const void *bytes, size_t size);

/* Call it after writing something that is not the answer, such as 100 Continue: the rest of the
 * request follows and gets the time limit of a whole request again. */
void tls_expect_rest(struct tls_session *session);

/* Makes the session use another descriptor of the same socket. */
void tls_move(struct tls_session *session, int socket);

/* Returns true if the deadline passed before the whole request was read: nothing more is read then,
 * but an answer can still be sent. False for NULL (a connection without a session). */
bool tls_timed_out(const struct tls_session *session);

/* Returns how many bytes of the present request have been read so far; 0 for NULL. */
size_t tls_request_size(const struct tls_session *session);

/* Sends close_notify if that does not block, then wipes and frees the session. */
void tls_close(struct tls_session *session);

#endif
