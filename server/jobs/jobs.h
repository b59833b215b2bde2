/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out the jobs that the API records in the store: backups, snapshots and rollbacks. A
 * worker thread has Proxmox begin each job as a task, follows the task by its UPID until it ends,
 * and records the result. After a restart it continues where it was: a job that Proxmox may or may
 * not have begun is looked for among Proxmox's tasks, and never begun again (job_step.h). Every
 * quarter of an hour the thread also asks Proxmox for each guest's newest backup, whoever made it.
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

/* Starts the worker thread. The context is borrowed. Ends with jobs_stop. */
struct jobs *jobs_start(struct context *context);

/* Ends the thread. A call to Proxmox that is under way is aborted within a second. NULL is
 * allowed. */
void jobs_stop(struct jobs *jobs);

/* Tells the thread that a job was recorded. Any thread may call it. NULL is allowed. */
void jobs_wake(struct jobs *jobs);

/* The round in which Proxmox is asked for each guest's newest backup, one guest in each turn.
 * Zero-initialise all but the first two members. Declared here for the unit test. */
struct newest_backups {
    struct throttled_log log;
    const atomic_bool *stopping; /* borrowed; once it is true, nothing is logged */
    char *storage;     /* the storage that this round asks about; NULL before the first round */
    int64_t at_us;     /* when the next turn is due, by clock_steady_us */
    uint32_t vmid;     /* the guest that this round last asked about; 0: none yet */
    uint32_t failures; /* calls in a row that Proxmox has not answered */
};
/* Frees the members. The struct itself is the caller's. */
void newest_backups_clear(struct newest_backups *backups);

/* Asks for the newest backup of at most one guest, if a turn is due. Asks nothing without an API
 * token. Returns when to call again, by clock_steady_us. call->deadline_us is for this turn. */
int64_t newest_backups_turn(struct newest_backups *backups, struct store_pool *stores,
                            const struct pve_call *call);

#endif
