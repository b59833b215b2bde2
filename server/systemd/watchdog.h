/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds the service manager's watchdog as long as felhomd answers requests. To test that, felhomd
 * makes a request to itself, as a guest would (store/host/probe.h). So the test fails if the
 * accepting thread is dead, all workers are stuck or TLS is broken.
 *
 * After a failure felhomd tries again soon; the manager restarts it only after a whole watchdog
 * interval of failures. The test also fails if the host no longer has felhomd's address: after the
 * restart felhomd finds the bridge's new address, or waits for one.
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
    bool failing; /* the last self-test failed */
};

/*
 * If the service manager has set a watchdog, runs the self-test and, if it succeeds, feeds the
 * watchdog. Returns false if the self-test fails; the log gives the reason once, until the
 * self-test succeeds again. pins: those of the certificate that felhomd shows. Only the main thread
 * calls this.
 */
bool watchdog_feed(struct watchdog *watchdog, struct context *context, const struct pins *pins);

/*
 * Returns 0 if GET /healthz at the address (for 0.0.0.0, at the loopback address) was answered with
 * 200 or 503 and a certificate with these pins. The gate admits this one connection whatever its
 * rules say (gate_expect). Takes at most timeout_us.
 */
int watchdog_self_test(const struct sockaddr_in *listening, const struct pins *pins,
                       struct gate *gate, int64_t timeout_us, struct error *error);

#endif
