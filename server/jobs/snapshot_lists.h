/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guests' snapshots, as request threads ask Proxmox for them. One question is under way at a
 * time, and the guests take turns (server/base/limiter.h). An answer serves all requests of its
 * guest that came before it was there, and for a second those that come after it, unless a job of
 * the guest has begun or ended in between: so however many requests a guest makes, it has at most
 * one question waiting, and what a job of its own has changed it sees at once. Failures are not
 * shared.
 */
#ifndef FELHOM_SNAPSHOT_LISTS_H
#define FELHOM_SNAPSHOT_LISTS_H

#include <stdint.h>

#include "server/jobs/pve_client.h"
#include "store/tables/job.h"

struct snapshot_lists;

/* calls counts the requests to Proxmox; NULL is allowed. Ends with snapshot_lists_free. */
struct snapshot_lists *snapshot_lists_new(struct call_counters *calls);
void snapshot_lists_free(struct snapshot_lists *lists);

/* All members are borrowed. */
struct snapshot_question {
    const struct config *config;
    const char *node;
    struct pve_guest guest;
    struct job_mark mark; /* of the guest's jobs, read before the question */
    int64_t deadline_us;  /* by clock_steady_us */
};

/*
 * Lists the snapshots of the guest; the caller frees *ret with pve_snapshots_free. Fails as
 * pve_snapshots does, and with ERROR_BUSY if too many requests wait. Any thread may call it, with
 * no store borrowed.
 */
int snapshot_lists_read(struct snapshot_lists *lists, const struct snapshot_question *question,
                        struct pve_snapshots *ret, struct error *error);

/* Returns how many requests wait for their turn. */
uint32_t snapshot_lists_waiting(struct snapshot_lists *lists);

#endif
