/* SPDX-License-Identifier: Apache-2.0 */
/* What tls.c needs of the inside of a struct tls_context. */
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

#include "schema/agent/pin.h"
#include "schema/base/error.h"
#include "server/tls/tls.h"

/*
 * A certificate with all that ends with it: its key, the policy that handshakes under it follow,
 * and the sessions and tickets that could be resumed. Whoever shakes hands under it holds it, so
 * that it outlives the one that takes its place.
 */

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

/* Reads the key and the certificate from one PEM file. The caller holds *ret. */
int tls_generation_new(const char *pem_file, struct tls_generation **ret, struct error *error);

struct tls_generation *tls_generation_hold(struct tls_generation *generation);

/* The last one wipes and frees it. NULL is fine. */
void tls_generation_drop(struct tls_generation *generation);

/* What clients pin of its certificate. */
void tls_generation_pins(const struct tls_generation *generation, struct pins *ret);

struct tls_context {
    struct tls_limits limits;
    int interrupt_fd;     /* an eventfd: readable once interrupted */
    pthread_mutex_t lock; /* of generation */
    struct tls_generation *generation;
};

/* That under which new handshakes are made; the caller ends the hold with tls_generation_drop. */
struct tls_generation *tls_context_hold(struct tls_context *context);

/* fail() with ": REASON" for an mbedTLS code appended. */
int tls_fail(struct error *error, int code, const char *what);

#endif
