/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks that felhomd works by doing what a guest does: connects to felhomd's listening address,
 * makes a TLS handshake, compares the certificate with the one that guests pin, and requests GET
 * /healthz. Used by felhomd's watchdog and by felhomctl doctor.
 *
 * Closing the connection sends a reset, so that a worker of felhomd that gets to a failed probe
 * late finds no peer and drops the connection without logging. The caller must ignore SIGPIPE.
 */
#ifndef FELHOM_PROBE_H
#define FELHOM_PROBE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/pin.h"
#include "schema/base/error.h"

struct probe {
    struct sockaddr_in listening; /* for 0.0.0.0, the probe connects to the loopback address */
    struct pins pins;             /* of the certificate that felhomd must show */
    int64_t timeout_us;           /* for the whole probe */
    bool from_guest;              /* this process is in a guest's network, not in the host's */
    /* Called with the probe's own address before it connects, and with NULL at the end, while the
     * probe still holds its port. May be NULL. */
    void (*announce)(void *context, const struct sockaddr_in *own);
    void *context;
};

/* Returns 0 if GET /healthz was answered with 200 within timeout_us. ERROR_CONFLICT if it was
 * answered with 503: felhomd works, but cannot read its store. ERROR_BUSY if it timed out. */
int probe_run(const struct probe *probe, struct error *error);

#endif
