/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether felhomd answers, found out as a guest would: a connection to what it listens on, TLS with
 * the certificate that guests pin, one request.
 *
 * A probe that fails is reset, not just closed: what a worker finds of it later has no peer any
 * more, and is dropped without a word. SIGPIPE is the caller's to ignore.
 */
#ifndef FELHOM_PROBE_H
#define FELHOM_PROBE_H

#include <netinet/in.h>
#include <stdint.h>

#include "schema/agent/pin.h"
#include "schema/base/error.h"

struct probe {
    struct sockaddr_in listening; /* 0.0.0.0 is asked over the loopback */
    struct pins pins;             /* of the certificate that it must show */
    int64_t patience_us;          /* for all of it */
    /* Told the probe's own address before it connects, and NULL when it has ended but its port is
     * not free yet. May be NULL. */
    void (*announce)(void *context, const struct sockaddr_in *own);
    void *context;
};

/* 0: GET /healthz was answered with 200. Never waits longer than its patience. */
int probe_run(const struct probe *probe, struct error *error);

#endif
