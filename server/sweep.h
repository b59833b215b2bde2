/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Phases are not paired: after a crash, a migration or a power-off nobody tells the agent that a
 * guest is gone. So the daemon looks for itself now and then, and revokes the tokens of guests
 * whose configuration has left this node or that have not been running for a minute.
 */
#ifndef FELHOM_SWEEP_H
#define FELHOM_SWEEP_H

#include <stddef.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/pve/guest_config.h"
#include "store/db/store.h"

/* Since when a guest was seen not to run. */
struct absence {
    uint32_t vmid;
    int64_t since_us;
};

/* What is remembered from one look to the next. Zero-initialise; sweep_clear frees it. */
struct sweep {
    struct absence *absences;
    size_t absence_count;
};

void sweep_clear(struct sweep *sweep);

/* One look at all guests; now_us by clock_steady_us, now_ms by clock_wall_ms. */
int sweep_run(struct sweep *sweep, const struct config *config, struct store *store, int64_t now_us,
              int64_t now_ms, struct error *error);

/* Whether a guest is there, as the host's file systems show it. */

enum presence {
    PRESENCE_UNKNOWN, /* there is no place to look at */
    PRESENCE_YES,
    PRESENCE_NO,
};

/* Whether this node has a configuration of the guest. Where /etc/pve is not mounted, nothing is
 * known. */
enum presence presence_configured(const char *pve, uint32_t vmid);

/* Whether the guest runs: its control group exists, in whichever hierarchy. */
enum presence presence_running(const char *cgroup, enum guest_kind kind, uint32_t vmid);

#endif
