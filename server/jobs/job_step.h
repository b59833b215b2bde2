/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state machine of one job. What the store says about the job decides which step comes next:
 *
 *   Proxmox was not asked yet      ask it to begin the task
 *   asked, but no UPID is known    look for the task among Proxmox's tasks
 *   a UPID is known                ask for the task's status, until the task has ended; after a
 *                                  rollback, also for that of the task that starts the guest
 *
 * So a felhomd that takes over a job, after a crash at any point, continues where the last one was.
 * The functions are for the jobs thread.
 */
#ifndef FELHOM_JOB_STEP_H
#define FELHOM_JOB_STEP_H

#include <stdatomic.h>
#include <stdint.h>

#include "schema/base/units.h"
#include "schema/pve/reply.h"
#include "server/base/store_pool.h"
#include "server/jobs/pve_client.h"
#include "store/tables/job.h"

/* What a step needs. All members are borrowed. */
struct job_world {
    struct store_pool *stores;
    struct pve_client *client;
    const struct config *config;
    const char *node;
    const atomic_bool *stopping; /* once true, nothing is logged: the stop makes calls fail */
};

/* What is kept about a job from one step to the next; after a restart it is found out anew.
 * Zero-initialise. Times are by clock_steady_us; 0: never. */
struct job_memory {
    struct error problem;    /* why Proxmox has not begun the job, if it almost certainly has not */
    uint32_t failures;       /* calls in a row that got no answer, or did not begin the job */
    int64_t begin_until_us;  /* until when to have it begun; 0: not tried yet */
    int64_t silent_since_us; /* since when Proxmox has not been answering */
    int64_t missing_since_us; /* since when Proxmox has been answering that there is no such task */
    int64_t start_awaited_since_us; /* since when a guest that was rolled back should be running */
    int64_t lines;                  /* how many lines of the task's log were read */
    struct vzdump_log log;
};

/* Takes the next step of the job and records what changed. Returns in how many microseconds the
 * step after it is due; INT64_MAX if the job is finished. */
int64_t job_step(const struct job_world *world, const struct job *job, struct job_memory *memory);

/* Asks Proxmox for the guest's newest backup, whoever made it, and records the reply in the
 * store. Fails as pve_newest_backup and the store do. */
int job_read_newest_backup(struct store_pool *stores, const struct pve_call *call, uint32_t vmid,
                           struct error *error);

#endif
