/* SPDX-License-Identifier: Apache-2.0 */
/* What tls.c needs of the inside of a struct tls_context. */
#ifndef FELHOM_TLS_CONTEXT_H
#define FELHOM_TLS_CONTEXT_H

#include <pthread.h>

#include "server/tls/tls.h"
#include "server/tls/tls_generation.h"

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
