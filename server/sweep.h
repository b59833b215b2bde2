/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Revokes the tokens of guests that are gone. Proxmox does not call the hook for every stop: after
 * a crash, a migration or a loss of power nobody tells the agent that a guest is gone. So felhomd
 * looks at all guests every ten seconds and revokes the tokens of those whose configuration has
 * left this node, or that have not been running for a minute. A phase or a new token begins that
 * minute anew: the control group of a guest that starts may come late.
 *
 * All functions are for the main thread.
 */
#ifndef FELHOM_SWEEP_H
#define FELHOM_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/pve/guest_config.h"
#include "store/db/store.h"
#include "store/tables/guest.h"

/* A guest that does not run, and since when it has not: since a sweep found it so, and since the
 * last phase and the last token that the store knows of. */
struct absence {
    uint32_t vmid;
    struct guest_version version;
    int64_t since_us;
};

/* What is kept from one sweep to the next. Zero-initialise; sweep_clear frees it. */
struct sweep {
    struct absence *absences; /* in ascending order of VMID */
    size_t absence_count;
    int64_t newest_event; /* at the last sweep */
    bool events_left;     /* events are left that the last sweep might have deleted */
};

void sweep_clear(struct sweep *sweep);

/* Sweeps all guests once, and nudges the waiters if something changed (store/base/nudge.h).
 * now_us is by clock_steady_us, now_ms by clock_wall_ms. Returns -1 if the store fails; guests
 * swept before that stay swept. */
int sweep_run(struct sweep *sweep, const struct config *config, struct store *store, int64_t now_us,
              int64_t now_ms, struct error *error);

/* --- whether a guest exists, by the file systems of the host --- */

enum presence {
    PRESENCE_UNKNOWN, /* the directory that would tell does not exist */
    PRESENCE_YES,
    PRESENCE_NO,
};

/* Whether this node has a configuration of the guest below pve. PRESENCE_UNKNOWN if Proxmox's
 * file system is not mounted there. */
enum presence presence_configured(const char *pve, uint32_t vmid);

/* Whether the guest runs, that is, whether its control group exists in one of the hierarchies
 * below cgroup. */
enum presence presence_running(const char *cgroup, enum guest_kind kind, uint32_t vmid);

#endif
