/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out the jobs that the store records: has Proxmox begin each one and follows it by its
 * UPID to its end. After a restart it goes on where it was; a job of which nobody knows whether
 * Proxmox has begun it is looked for among Proxmox's tasks, and never begun again. Every quarter of
 * an hour it also asks Proxmox for each guest's newest backup, whoever made it.
 */
#ifndef FELHOM_JOBS_H
#define FELHOM_JOBS_H

#include <stdatomic.h>
#include <stdint.h>

#include "server/base/limiter.h"
#include "server/base/store_pool.h"
#include "server/jobs/pve_client.h"

struct context;
struct jobs;

/* Starts the worker thread. Ends with jobs_stop. */
struct jobs *jobs_start(struct context *context);

/* Waits for the step under way, which is aborted within a second. NULL is fine. */
void jobs_stop(struct jobs *jobs);

/* A job was recorded. From any thread; NULL is fine. */
void jobs_wake(struct jobs *jobs);

/* The round through all guests for their newest backups, one guest in a turn. Zero-initialise, but
 * for the first two. Here for its test. */
struct newest_backups {
    struct throttled_log log;
    const atomic_bool *stopping; /* borrowed; once true, nothing is logged */
    char *storage;               /* that the round is about; NULL: there was none yet */
    int64_t at_us;               /* when to go on, by clock_steady_us */
    uint32_t vmid;               /* the guest last asked for in this round; 0: none yet */
    uint32_t failures;           /* of Proxmox to answer, in a row */
};
void newest_backups_clear(struct newest_backups *backups);

/* Asks for at most one guest's newest backup, if it is time. Returns when to call again, by
 * clock_steady_us. Without an API token it asks nothing. The deadline of call is for this turn. */
int64_t newest_backups_turn(struct newest_backups *backups, struct store_pool *stores,
                            const struct pve_call *call);

#endif
