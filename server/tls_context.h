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

#include "server/tls.h"

struct tls_context {
    struct tls_limits limits;
    int interrupt_fd; /* an eventfd: readable once interrupted */
    mbedtls_ssl_config config;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_pk_context key;
    mbedtls_x509_crt certificate;
    mbedtls_ssl_cache_context cache;
    mbedtls_ssl_ticket_context tickets;
};

/* fail() with ": REASON" for an mbedTLS code appended. */
int tls_fail(struct error *error, int code, const char *what);

#endif
