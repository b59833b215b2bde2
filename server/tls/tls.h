/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS for the local API, by mbedTLS: versions 1.2 and 1.3, ECDHE-ECDSA with AEAD, X25519 and P-256.
 * Sockets are non-blocking; every wait is a poll() that ends at the deadline of what is being done:
 * the handshake, the pause before a request, the receiving of one, the sending of an answer.
 */
#ifndef FELHOM_TLS_H
#define FELHOM_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/agent/pin.h"
#include "schema/base/error.h"

struct tls_context;
struct tls_session;

struct tls_limits {
    uint64_t handshake_ms; /* the whole handshake */
    uint64_t request_ms;   /* a request from its first byte to its last; an answer, too; the pause
                              before the first request */
    uint64_t idle_ms;      /* the pause before each further request */
};

/*
 * Reads the key and the certificate from one PEM file. Sessions may use the context from many
 * threads at once. The caller ends it with tls_context_free, after the last session; that wipes the
 * key and the secrets of all tickets.
 */
int tls_context_new(const char *pem_file, const struct tls_limits *limits, struct tls_context **ret,
                    struct error *error);
void tls_context_free(struct tls_context *context);

/* Reads them anew, for the handshakes that begin from now on: no session or ticket of the old key
 * is resumed. Sessions under way go on. On failure all stays as it was. */
int tls_context_renew(struct tls_context *context, const char *pem_file, struct error *error);

/* What clients pin of the certificate that new handshakes show. */
void tls_context_pins(struct tls_context *context, struct pins *ret);

/* Ends the pauses between requests, now and from now on, but for a request that is there already.
 * What is under way goes on; who has made no request yet may make one, within handshake_ms. */
void tls_context_interrupt(struct tls_context *context);

/* The server's side of the handshake on a connected, non-blocking socket, which stays the caller's.
 * *ret ends with tls_close. */
int tls_accept(struct tls_context *context, int socket, struct tls_session **ret,
               struct error *error);

/* At least one byte, else -1: the end of the connection, a failure or a deadline. Blanks before a
 * request, line ends too, are left out. */
int tls_read(struct tls_session *session, void *bytes, size_t size);

/* How many of the bytes went out, at least one, else -1. */
int tls_write(struct tls_session *session, const void *bytes, size_t size);

/* The same without waiting: 0 where nothing can go out now; what comes then begins with the very
 * same bytes. */
int tls_try_write(struct tls_session *session, const void *bytes, size_t size);

/* What was written last was no answer: the rest of the request follows, with as much time again. */
void tls_expect_rest(struct tls_session *session);

/* The session goes on over another descriptor of its socket. */
void tls_move(struct tls_session *session, int socket);

/* Whether a request was cut by its deadline; nothing more is read then, but an answer still goes
 * out. No session (NULL), as in a connection that was not made for want of memory, is none. */
bool tls_timed_out(const struct tls_session *session);

/* How many bytes of the present request were read so far, from its first on. */
size_t tls_request_size(const struct tls_session *session);

/* Says goodbye to the peer if that can be done at once, wipes and frees. */
void tls_close(struct tls_session *session);

#endif
