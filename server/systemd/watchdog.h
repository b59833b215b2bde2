/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager's watchdog hears of the daemon as long as that answers requests. A failure is
 * tried again soon, and it takes a whole interval of failures until the manager restarts the
 * daemon. An address that has left the host is a failure, too: after the restart the daemon finds
 * the bridge's new one, or waits for it.
 */
#ifndef FELHOM_WATCHDOG_H
#define FELHOM_WATCHDOG_H

#include <stdbool.h>

#include "server/agent.h"

/* Zero-initialise. */
struct watchdog {
    bool failing;
};

/* Where a watchdog is set: asks the daemon, which listens, a question, and feeds the watchdog if it
 * answers. False if it does not; the log says why, once until it does again. */
bool watchdog_feed(struct watchdog *watchdog, struct agent *agent);

#endif
