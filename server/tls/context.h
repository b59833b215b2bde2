/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all TLS sessions of a listener share: the certificate with its key, the policy (TLS 1.2 and
 * 1.3, ECDHE-ECDSA with AEAD, X25519 and P-256), the time limits, and an eventfd that ends pauses
 * when felhomd stops.
 *
 * The certificate can be replaced while connections are open. So everything that is replaced with
 * it is in one reference-counted struct tls_generation: a session holds the generation that its
 * handshake began with until the session is closed, and no session or ticket of an old generation
 * can be resumed under a new one.
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
    uint64_t request_ms;   /* each of: a request from its first byte to its last; sending an answer;
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
    pthread_mutex_t lock; /* guards generation */
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

/* Reads key and certificate again, for handshakes that begin from now on; open sessions keep the
 * old ones. On failure nothing has changed. */
int tls_context_renew(struct tls_context *context, const char *pem_file, struct error *error);

/* Fills in the pins of the certificate that new handshakes show. */
void tls_context_pins(struct tls_context *context, struct pins *ret);

/*
 * Ends all pauses between requests, present and future ones, unless the next request has arrived
 * already. A request or an answer in progress continues; a client that has made no request yet may
 * make one within handshake_ms.
 */
void tls_context_interrupt(struct tls_context *context);

/* Returns the generation for a new handshake. The caller ends the hold with tls_generation_drop;
 * the last one wipes and frees the generation. tls_generation_drop(NULL) does nothing. */
struct tls_generation *tls_context_hold(struct tls_context *context);
void tls_generation_drop(struct tls_generation *generation);

/* Fails with ERROR_SYSTEM and "WHAT: REASON", where REASON is mbedTLS's text for the code. */
int tls_fail(struct error *error, int code, const char *what);

#endif
