/* SPDX-License-Identifier: Apache-2.0 */
/*
 * felhomd asks itself, as a guest would (store/host/probe.h). So a daemon whose accepting thread is
 * dead, whose workers are all stuck or whose TLS is broken is not taken for a live one. The gate
 * lets the probe alone through (see gate_expect), from a socket that was bound first.
 */
#ifndef FELHOM_SELF_PROBE_H
#define FELHOM_SELF_PROBE_H

#include <netinet/in.h>
#include <stdint.h>

#include "schema/agent/pin.h"
#include "schema/base/error.h"
#include "server/net/gate.h"

struct self_probe {
    struct sockaddr_in listening; /* 0.0.0.0 is asked over the loopback */
    struct pins pins;             /* of the certificate that it must show */
    struct gate *gate;
    int64_t patience_us; /* for all of it */
};

/* 0: GET /healthz was answered with 200. Never waits longer than its patience. */
int self_probe_run(const struct self_probe *self, struct error *error);

#endif
