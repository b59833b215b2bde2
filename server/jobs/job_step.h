/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One step in the life of a job. What the store says of the job decides which: a job that Proxmox
 * was not asked for yet is called; one that was called and has no task is looked for among
 * Proxmox's tasks; one that has a task is followed. So whoever takes a job up, after whatever
 * crash, goes on where it was.
 */
#ifndef FELHOM_JOB_STEP_H
#define FELHOM_JOB_STEP_H

#include <stdatomic.h>
#include <stdint.h>

#include "schema/base/units.h"
#include "schema/pve/task.h"
#include "server/base/store_pool.h"
#include "server/jobs/pve_client.h"
#include "store/tables/job.h"

/* What a step is taken with. All borrowed. */
struct job_world {
    struct store_pool *stores;
    struct pve_client *client;
    const struct config *config;
    const char *node;
    const atomic_bool *stopping; /* once true, nothing is logged: stopping makes calls fail */
};

/* What is known of a job from one step to the next, and found out anew after a restart.
 * Zero-initialise. Times by clock_steady_us; 0: not. */
struct job_memory {
    struct error problem;     /* why Proxmox has not begun it, where that is as good as certain */
    uint32_t failures;        /* of Proxmox to answer, or to begin it, in a row */
    int64_t silent_since_us;  /* since when Proxmox does not answer, while it does not */
    int64_t missing_since_us; /* since when Proxmox answers that there is no such task */
    int64_t lines;            /* read from the task's log */
    struct vzdump_log log;
};

/* Takes the job's next step. Returns in how many microseconds the step after it is due; INT64_MAX
 * where the job is finished. */
int64_t job_step(const struct job_world *world, const struct job *job, struct job_memory *memory);

/* Asks Proxmox for the guest's newest backup, whoever made it, and records it in the store. */
int job_read_newest_backup(struct store_pool *stores, const struct pve_call *call, uint32_t vmid,
                           struct error *error);

#endif
