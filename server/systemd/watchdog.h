/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds the service manager's watchdog as long as felhomd answers requests. To find that out,
 * felhomd makes a request to itself, as a guest would (store/host/probe.h). So a daemon whose
 * accepting thread is dead, whose workers are all stuck or whose TLS is broken is not taken for a
 * live one.
 *
 * After a failure the daemon tries again soon; only a whole watchdog interval of failures has the
 * manager restart it. An address that has left the host is a failure, too: after the restart the
 * daemon finds the bridge's new address, or waits for it.
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
 * If the service manager has set a watchdog: tests whether the daemon, which listens, answers, and
 * feeds the watchdog if it does. Returns false if it does not; the log says why once, until it
 * answers again. pins: of the certificate that the daemon shows. For the main thread.
 */
bool watchdog_feed(struct watchdog *watchdog, struct context *context, const struct pins *pins);

/*
 * The self-test: 0 if GET /healthz at the address (for 0.0.0.0, at the loopback) was answered with
 * 200 under a certificate with these pins. The gate lets this one connection through whatever its
 * rules say (gate_expect). Never takes longer than patience_us.
 */
int watchdog_self_test(const struct sockaddr_in *listening, const struct pins *pins,
                       struct gate *gate, int64_t patience_us, struct error *error);

#endif
