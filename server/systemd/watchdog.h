/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager's watchdog hears of the daemon as long as that answers requests. A failure is
 * tried again soon, and it takes a whole interval of failures until the manager restarts the
 * daemon. An address that has left the host is a failure, too: after the restart the daemon finds
 * the bridge's new one, or waits for it.
 */
#ifndef FELHOM_WATCHDOG_H
#define FELHOM_WATCHDOG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/pin.h"
#include "schema/base/error.h"
#include "server/base/context.h"
#include "server/net/gate.h"

/* Zero-initialise. */
struct watchdog {
    bool failing;
};

/* pins: of the certificate that the daemon shows. Where a watchdog is set: asks the daemon, which
 * listens, a question, and feeds the watchdog if it answers. False if it does not; the log says
 * why, once until it does again. */
bool watchdog_feed(struct watchdog *watchdog, struct context *context, const struct pins *pins);

/*
 * felhomd asks itself, as a guest would (store/host/probe.h). So a daemon whose accepting thread is
 * dead, whose workers are all stuck or whose TLS is broken is not taken for a live one. The gate
 * lets the probe alone through (see gate_expect), from a socket that was bound first.
 */

struct self_probe {
    struct sockaddr_in listening; /* 0.0.0.0 is asked over the loopback */
    struct pins pins;             /* of the certificate that it must show */
    struct gate *gate;
    int64_t patience_us; /* for all of it */
};

/* 0: GET /healthz was answered with 200. Never waits longer than its patience. */
int self_probe_run(const struct self_probe *self, struct error *error);

#endif
