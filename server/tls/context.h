/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all TLS sessions of a listener share: the certificate with its key, the policy (TLS 1.2 and
 * 1.3, ECDHE-ECDSA with AEAD, X25519 and P-256), the time limits, and an eventfd that ends pauses
 * when felhomd stops.
 *
 * The certificate can be replaced while connections are open. So everything that ends with a
 * certificate is one reference-counted struct tls_generation: a handshake holds the generation that
 * it began under until its session is closed, and no session or ticket of an old generation can be
 * resumed under a new one.
 */
#ifndef FELHOM_TLS_CONTEXT_H
#define FELHOM_TLS_CONTEXT_H

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cache.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/x509_crt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "schema/agent/pin.h"
#include "schema/base/error.h"

struct tls_limits {
    uint64_t handshake_ms; /* the whole handshake */
    uint64_t request_ms;   /* a request from its first byte to its last; the sending of an answer;
                              the pause before the first request */
    uint64_t idle_ms;      /* the pause before each further request */
};

struct tls_generation {
    atomic_uint holders;
    mbedtls_ssl_config config;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_pk_context key;
    mbedtls_x509_crt certificate;
    mbedtls_ssl_cache_context cache;
    mbedtls_ssl_ticket_context tickets;
};

struct tls_context {
    struct tls_limits limits;
    int interrupt_fd;     /* an eventfd: readable once interrupted */
    pthread_mutex_t lock; /* of generation */
    struct tls_generation *generation;
};

/*
 * Reads the key and the certificate from one PEM file. Sessions may use the context from many
 * threads at once. The caller ends it with tls_context_free, after the last session; that wipes the
 * key and the secrets of all tickets. tls_context_free(NULL) does nothing.
 */
int tls_context_new(const char *pem_file, const struct tls_limits *limits, struct tls_context **ret,
                    struct error *error);
void tls_context_free(struct tls_context *context);

/* Reads key and certificate again, for the handshakes that begin from now on; open sessions go on
 * under the old ones. On failure nothing has changed. */
int tls_context_renew(struct tls_context *context, const char *pem_file, struct error *error);

/* Fills in what clients pin of the certificate that new handshakes show. */
void tls_context_pins(struct tls_context *context, struct pins *ret);

/*
 * Ends the pauses between requests, now and from now on, unless the next request is there already.
 * A request or an answer under way goes on; a client that has made no request yet may make one,
 * within handshake_ms.
 */
void tls_context_interrupt(struct tls_context *context);

/* The generation for a new handshake; the caller ends the hold with tls_generation_drop, and the
 * last holder wipes and frees it. tls_generation_drop(NULL) does nothing. */
struct tls_generation *tls_context_hold(struct tls_context *context);
void tls_generation_drop(struct tls_generation *generation);

/* fail() with ERROR_SYSTEM and "WHAT: REASON", where REASON is that of mbedTLS's code. */
int tls_fail(struct error *error, int code, const char *what);

#endif
