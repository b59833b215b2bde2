/* SPDX-License-Identifier: Apache-2.0 */
/* Has Proxmox begin a job. That it is about to be asked is recorded first: it is never asked twice.
 */
#include "server/jobs/job_step.h"
#include "store/base/clock.h"

#define RETRY_FIRST (2 * SECOND_US)
#define RETRY_LAST  (60 * SECOND_US)
#define RETRY_MS    ((int64_t)10 * 60 * 1000) /* since the guest has asked */
#define TOO_LATE    "it could not be begun within 10 minutes"

/* A rollback stops the guest that has asked for it: it is to have its answer by then. */
#define ANSWER_MS ((int64_t)1000)

static int change_called(struct store *store, const struct job *job, const char *text,
                         struct error *error)
{
    (void)text;
    return job_call(store, job->job_id, clock_wall_ms(), error);
}

static int change_uncalled(struct store *store, const struct job *job, const char *text,
                           struct error *error)
{
    (void)text;
    return job_uncall(store, job->job_id, error);
}

/* --- one call --- */

static int begin_snapshot(const struct pve_call *call, const struct pve_guest *guest,
                          const struct job *job, char ret_upid[static UPID_SIZE],
                          struct error *error)
{
    return pve_snapshot_create(call, guest, job->name, job->description, ret_upid, error);
}

static int begin_rollback(const struct pve_call *call, const struct pve_guest *guest,
                          const struct job *job, char ret_upid[static UPID_SIZE],
                          struct error *error)
{
    return pve_snapshot_rollback(call, guest, job->name, true, ret_upid, error);
}

static int begin_backup(const struct pve_call *call, const struct pve_guest *guest,
                        const struct job *job, char ret_upid[static UPID_SIZE], struct error *error)
{
    (void)job;
    return pve_backup_begin(call, guest->vmid, ret_upid, error);
}

static int begin(const struct job_world *world, const struct pve_guest *guest,
                 const struct job *job, char ret_upid[static UPID_SIZE], struct error *error)
{
    static int (*const begins[])(const struct pve_call *, const struct pve_guest *,
                                 const struct job *, char[static UPID_SIZE], struct error *) = {
        [JOB_SNAPSHOT] = begin_snapshot,
        [JOB_ROLLBACK] = begin_rollback,
        [JOB_BACKUP] = begin_backup,
    };
    const struct pve_call call = job_demand(world);
    return begins[job->kind](&call, guest, job, ret_upid, error);
}

/* --- what came of it --- */

/* It is found among Proxmox's tasks then. */
static int64_t look_for_it(const struct job_world *world, const struct job *job,
                           struct job_memory *memory, const struct error *error)
{
    job_tell(world, job, "Proxmox may have begun it", error->message);
    job_answered(memory);
    return SECOND_US;
}

/* Nothing was begun, and Proxmox has not said that it would not. */
static int64_t try_again(const struct job_world *world, const struct job *job,
                         struct job_memory *memory)
{
    struct error error;
    if (memory->failures++ == 0)
        job_tell(world, job, "Proxmox cannot be asked yet", memory->problem.message);
    if (job_record(world, job, change_uncalled, NULL, &error) < 0)
        return job_unrecorded(world, job, &error);
    return job_backoff(memory->failures, RETRY_FIRST, RETRY_LAST);
}

/* Proxmox has said that it does not do it. */
static bool is_refusal(const struct job_world *world, const struct error *error)
{
    return pve_has_answered(world->client) && error->kind != ERROR_BUSY &&
           error->kind != ERROR_CORRUPT;
}

/* A 500 comes mostly, but not certainly, before anything is begun. */
static int64_t not_begun(const struct job_world *world, const struct job *job,
                         struct job_memory *memory, const struct error *error)
{
    const bool may_have_begun = pve_may_have_begun(world->client);
    const bool was_refused = is_refusal(world, error);
    if (was_refused && !may_have_begun)
        return job_failed(world, job, error->message);
    if (was_refused || !may_have_begun)
        memory->problem = *error;
    return may_have_begun ? look_for_it(world, job, memory, error) : try_again(world, job, memory);
}

static int64_t begun(const struct job_world *world, const struct job *job,
                     struct job_memory *memory, const char *upid)
{
    struct error error;
    job_tell(world, job, "begun", upid);
    job_answered(memory);
    if (job_record_begun(world, job, upid, &error) < 0)
        return job_unrecorded(world, job, &error);
    return SECOND_US;
}

static int64_t call(const struct job_world *world, const struct job *job, struct job_memory *memory)
{
    struct error error;
    struct pve_guest guest;
    char upid[UPID_SIZE];
    if (job_guest(world, job, &guest, &error) < 0 ||
        job_record(world, job, change_called, NULL, &error) < 0)
        return job_unrecorded(world, job, &error);
    memory->problem.kind = ERROR_NONE;
    if (begin(world, &guest, job, upid, &error) < 0)
        return not_begun(world, job, memory, &error);
    return begun(world, job, memory, upid);
}

int64_t job_call_step(const struct job_world *world, const struct job *job,
                      struct job_memory *memory)
{
    const int64_t age_ms = clock_wall_ms() - job->created_at_ms;
    if (age_ms >= RETRY_MS)
        return job_failed(world, job, memory->problem.kind ? memory->problem.message : TOO_LATE);
    if (job->kind == JOB_ROLLBACK && age_ms >= 0 && age_ms < ANSWER_MS)
        return (ANSWER_MS - age_ms) * 1000;
    return call(world, job, memory);
}
