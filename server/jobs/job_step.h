/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One step in the life of a job. What the store says of it decides which: a job that was not called
 * is called; one that was called and has no task is looked for among Proxmox's tasks; one that has
 * a task is followed. So whoever takes a job up, after whatever crash, goes on where it was.
 */
#ifndef FELHOM_JOB_STEP_H
#define FELHOM_JOB_STEP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/pve/task.h"
#include "server/base/store_pool.h"
#include "server/jobs/pve_client.h"
#include "store/tables/job.h"

#define SECOND_US ((int64_t)1000000)

/* What a step is taken with. All borrowed. */
struct job_world {
    struct store_pool *stores;
    struct pve_client *client;
    const struct config *config;
    const char *node;
    const atomic_bool *stopping; /* failures that come of it are not told */
};

/* What is known of a job from one step to the next, and found out anew after a restart.
 * Zero-initialise. Times by clock_steady_us; 0: not. */
struct job_memory {
    struct error problem;     /* why it was not begun, where that is as good as certain */
    uint32_t failures;        /* of Proxmox to answer, or to begin it, in a row */
    int64_t silent_since_us;  /* since when Proxmox does not answer, while it does not */
    int64_t missing_since_us; /* since when it answers that there is no such task */
    int64_t lines;            /* read from the task's log */
    struct vzdump_log log;
};

/* Takes the next step. Returns after how many microseconds the one after it is due; INT64_MAX where
 * the job is finished. */
int64_t job_step(const struct job_world *world, const struct job *job, struct job_memory *memory);

/* The three kinds of steps, for job_step: server/jobs/job_step.c, job_look.c and job_follow.c. */
int64_t job_call_step(const struct job_world *world, const struct job *job,
                      struct job_memory *memory);
int64_t job_look_step(const struct job_world *world, const struct job *job,
                      struct job_memory *memory);
int64_t job_follow_step(const struct job_world *world, const struct job *job,
                        struct job_memory *memory);

/* --- what they have in common: server/jobs/job_step.c --- */

/* Until when a question to Proxmox, or what begins a task, may take. */
struct pve_call job_question(const struct job_world *world);
struct pve_call job_demand(const struct job_world *world);

/* The guest as Proxmox's paths name it. */
int job_guest(const struct job_world *world, const struct job *job, struct pve_guest *ret,
              struct error *error);

/* The job has this task. */
int job_record_begun(const struct job_world *world, const struct job *job, const char *upid,
                     struct error *error);

/* A change of the job in the store; text is what the change is about. */
typedef int job_change(struct store *store, const struct job *job, const char *text,
                       struct error *error);

/* Makes it, and tells those who wait for the job's events. */
int job_record(const struct job_world *world, const struct job *job, job_change *change,
               const char *text, struct error *error);

/* For what the store has failed to record: the step after it finds the job as it was. */
int64_t job_unrecorded(const struct job_world *world, const struct job *job,
                       const struct error *error);

/* Records the job's end, failed for this reason. */
int64_t job_failed(const struct job_world *world, const struct job *job, const char *problem);

/* Proxmox has answered. */
void job_answered(struct job_memory *memory);

/* Since when there has been no such task, now that Proxmox has answered so once more: for how long,
 * in microseconds. */
int64_t job_missing_for(struct job_memory *memory);

/* Proxmox has not answered: when to ask again. After a day the job is failed. */
int64_t job_unanswered(const struct job_world *world, const struct job *job,
                       struct job_memory *memory, const struct error *error);

/* first, twice that, ... for the count-th failure, and never more than last. */
int64_t job_backoff(uint32_t count, int64_t first_us, int64_t last_us);

/* One line in the log. */
void job_tell(const struct job_world *world, const struct job *job, const char *what,
              const char *detail);

#endif
