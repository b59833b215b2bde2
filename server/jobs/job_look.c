/* SPDX-License-Identifier: Apache-2.0 */
/* Looks for a job's task among Proxmox's: it was asked to begin it, but its answer is not known. */
#include "schema/pve/task.h"
#include "server/jobs/job_step.h"
#include "store/base/clock.h"
#include "store/tables/guest.h"

#define EARLIER_SECONDS 2                /* Proxmox's clock may be a little behind */
#define LOOK_US         (60 * SECOND_US) /* an empty list proves nothing at once */
#define LOOK_REFUSED_US (3 * SECOND_US)  /* where it has most likely not been begun */
#define NOBODY_KNOWS \
    "nobody knows whether Proxmox has begun it: its answer did not come, and there is no such " \
    "task"

static const char *task_type(enum job_kind kind, enum guest_kind guest_kind)
{
    static const char *const types[][2] = {
        [JOB_SNAPSHOT] = {[GUEST_LXC] = "vzsnapshot", [GUEST_QEMU] = "qmsnapshot"},
        [JOB_ROLLBACK] = {[GUEST_LXC] = "vzrollback", [GUEST_QEMU] = "qmrollback"},
        [JOB_BACKUP] = {[GUEST_LXC] = "vzdump", [GUEST_QEMU] = "vzdump"},
    };
    return types[kind][guest_kind];
}

static int read_previous(const struct job_world *world, const struct job *job,
                         char ret_upid[static UPID_SIZE], struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(world->stores, &loan, error) == 0 &&
        job_previous_upid(loan.store, job, ret_upid, error) == 0)
        return 0;
    store_loan_failed(&loan, error);
    return -1;
}

/* Seconds: since when the task may have begun. What the guest had before has ended by then, and was
 * looked at a second after its begin at the earliest. */
static int begun_since(const struct job_world *world, const struct job *job, int64_t *ret,
                       struct error *error)
{
    struct upid previous;
    char upid[UPID_SIZE];
    if (read_previous(world, job, upid, error) < 0)
        return -1;
    *ret = job->called_at_ms / 1000 - EARLIER_SECONDS;
    if (upid_parse(upid, &previous) && previous.started_at >= *ret)
        *ret = previous.started_at + 1;
    return 0;
}

static int64_t not_found(const struct job_world *world, const struct job *job,
                         struct job_memory *memory)
{
    const bool was_refused = memory->problem.kind != ERROR_NONE;
    if (job_missing_for(memory) < (was_refused ? LOOK_REFUSED_US : LOOK_US))
        return SECOND_US;
    return job_failed(world, job, was_refused ? memory->problem.message : NOBODY_KNOWS);
}

/* A task that is another job's is none of this one. */
static int64_t adopt(const struct job_world *world, const struct job *job,
                     struct job_memory *memory, const char *upid)
{
    struct error error;
    if (job_record_begun(world, job, upid, &error) < 0)
        return error.kind == ERROR_CONFLICT ? not_found(world, job, memory)
                                            : job_unrecorded(world, job, &error);
    job_tell(world, job, "found", upid);
    memory->missing_since_us = 0;
    return 0;
}

int64_t job_look_step(const struct job_world *world, const struct job *job,
                      struct job_memory *memory)
{
    struct error error;
    struct pve_guest guest;
    int64_t since;
    char upid[UPID_SIZE];
    const struct pve_call call = job_question(world);
    if (job_guest(world, job, &guest, &error) < 0 || begun_since(world, job, &since, &error) < 0)
        return job_unrecorded(world, job, &error);
    if (pve_task_find(&call, task_type(job->kind, guest.kind), job->vmid, since, upid, &error) < 0)
        return job_unanswered(world, job, memory, &error);
    job_answered(memory);
    return upid[0] ? adopt(world, job, memory, upid) : not_found(world, job, memory);
}
