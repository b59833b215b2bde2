/* SPDX-License-Identifier: Apache-2.0 */
/* Follows a job's task to its end. */
#include <string.h>

#include "server/jobs/job_step.h"
#include "server/jobs/jobs.h"
#include "store/base/clock.h"

#define LINES_AT_ONCE 500
#define LOST_US       (30 * SECOND_US)
#define LOST          "Proxmox does not know the task any more: nobody knows how it ended"

static void take_line(int64_t number, const char *line, void *context)
{
    struct job_memory *memory = context;
    memory->lines = number;
    vzdump_log_take(&memory->log, line);
}

/* What was added to the task's log since it was last read. */
static int read_log(const struct job_world *world, const struct job *job, struct job_memory *memory,
                    struct error *error)
{
    int64_t start;
    do {
        const struct pve_call call = job_question(world);
        start = memory->lines;
        if (pve_task_log(&call, job->upid, start, LINES_AT_ONCE, take_line, memory, error) < 0)
            return -1;
    } while (memory->lines - start >= LINES_AT_ONCE);
    return 0;
}

static int change_snapshotted(struct store *store, const struct job *job, const char *text,
                              struct error *error)
{
    (void)text;
    return job_snapshotted(store, job->job_id, clock_wall_ms(), error);
}

static int change_done(struct store *store, const struct job *job, const char *text,
                       struct error *error)
{
    return job_finish(store, job->job_id, true, text, clock_wall_ms(), error);
}

/* Whoever reads that the backup is done finds it. */
static void look_for_archive(const struct job_world *world, const struct job *job)
{
    struct error error;
    const struct pve_call call = job_question(world);
    if (job->kind == JOB_BACKUP && newest_backup_look(world->stores, &call, job->vmid, &error) < 0)
        job_tell(world, job, "the new backup cannot be looked at", error.message);
}

static int64_t done(const struct job_world *world, const struct job *job, const char *exitstatus)
{
    struct error error;
    const char *warnings = strcmp(exitstatus, "OK") == 0 ? NULL : exitstatus;
    look_for_archive(world, job);
    if (job_record(world, job, change_done, warnings, &error) < 0)
        return job_unrecorded(world, job, &error);
    job_tell(world, job, "done", exitstatus);
    return INT64_MAX;
}

static int64_t ended(const struct job_world *world, const struct job *job,
                     const struct job_memory *memory, const struct pve_task_status *status)
{
    if (status->succeeded)
        return done(world, job, status->exitstatus);
    return job_failed(world, job,
                      memory->log.problem[0] ? memory->log.problem : status->exitstatus);
}

/* Proxmox's answer that there is no such task may be one of a moment. */
static int64_t lost(const struct job_world *world, const struct job *job, struct job_memory *memory)
{
    job_answered(memory);
    return job_missing_for(memory) < LOST_US ? SECOND_US : job_failed(world, job, LOST);
}

static int64_t no_status(const struct job_world *world, const struct job *job,
                         struct job_memory *memory, const struct error *error)
{
    return error->kind == ERROR_MISSING ? lost(world, job, memory)
                                        : job_unanswered(world, job, memory, error);
}

int64_t job_follow_step(const struct job_world *world, const struct job *job,
                        struct job_memory *memory)
{
    struct error error;
    struct pve_task_status status;
    const struct pve_call call = job_question(world);
    if (pve_task_status(&call, job->upid, &status, &error) < 0)
        return no_status(world, job, memory, &error);
    memory->missing_since_us = 0;
    if (job->kind == JOB_BACKUP && read_log(world, job, memory, &error) < 0)
        return job_unanswered(world, job, memory, &error);
    job_answered(memory);
    if (memory->log.snapshotted && job->phase == JOB_RUNNING &&
        job_record(world, job, change_snapshotted, NULL, &error) < 0)
        return job_unrecorded(world, job, &error);
    return status.running ? SECOND_US : ended(world, job, memory, &status);
}
