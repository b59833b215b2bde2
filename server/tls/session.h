/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TLS connection, from the handshake to the goodbye. Sockets are non-blocking; every wait is a
 * poll() that ends at the deadline of the phase the session is in: the handshake, the pause before
 * a request, the receiving of a request, the sending of an answer. struct tls_limits (context.h)
 * says how long each may take.
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
 * Does the server's side of the handshake on a connected, non-blocking socket, which stays the
 * caller's. Fails with ERROR_BUSY if the handshake was not finished in time. The context must
 * outlive *ret, which the caller ends with tls_close.
 */
int tls_accept(struct tls_context *context, int socket, struct tls_session **ret,
               struct error *error);

/* Waits for bytes of a request and returns how many were read, at least one; -1 at the end of the
 * connection, on a failure or at the deadline. Skips blanks and empty lines before a request. */
int tls_read(struct tls_session *session, void *bytes, size_t size);

/* Returns how many of the bytes were sent, at least one; -1 on a failure or at the deadline. */
int tls_write(struct tls_session *session, const void *bytes, size_t size);

/* The same without waiting: returns 0 if nothing can be sent now. The next call must then begin
 * with the very same bytes. */
int tls_try_write(struct tls_session *session, const void *bytes, size_t size);

/* Tells the session that what was written last was no answer (but 100 Continue, say): the rest of
 * the request follows, and gets the time of a whole request again. */
void tls_expect_rest(struct tls_session *session);

/* Has the session go on over another descriptor of the same socket. */
void tls_move(struct tls_session *session, int socket);

/* True if a request was cut off by its deadline: nothing more is read then, but an answer can still
 * be sent. False for NULL (a connection whose session could not be made). */
bool tls_timed_out(const struct tls_session *session);

/* How many bytes of the present request have been read so far. 0 for NULL. */
size_t tls_request_size(const struct tls_session *session);

/* Says goodbye to the peer if that can be done without waiting, then wipes and frees the session.
 */
void tls_close(struct tls_session *session);

#endif
