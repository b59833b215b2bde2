/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether felhomd answers, found out as a guest would: a connection to what it listens on, TLS with
 * the certificate that guests pin, one request. So a daemon whose accepting thread is dead, whose
 * workers are all stuck or whose TLS is broken is not taken for a live one.
 *
 * The gate lets the probe alone through (see gate_expect), from a socket that was bound first. One
 * that fails is reset, not just closed: what a worker finds of it later has no peer any more, and
 * is dropped without a word.
 */
#ifndef FELHOM_SELF_PROBE_H
#define FELHOM_SELF_PROBE_H

#include <netinet/in.h>
#include <stdint.h>

#include "schema/error.h"
#include "schema/pin.h"
#include "server/gate.h"

struct self_probe {
    struct sockaddr_in listening; /* 0.0.0.0 is asked over the loopback */
    struct pins pins;             /* of the certificate that it must show */
    struct gate *gate;
    int64_t patience_us; /* for all of it */
};

/* 0: GET /healthz was answered with 200. Never waits longer than its patience. */
int self_probe_run(const struct self_probe *probe, struct error *error);

#endif
