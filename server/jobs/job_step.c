/* SPDX-License-Identifier: Apache-2.0 */
#include "server/jobs/job_step.h"

#include <string.h>

#include "schema/pve/task.h"
#include "server/jobs/jobs.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/base/nudge.h"
#include "store/tables/guest.h"

/* Has Proxmox begin a job. That it is about to be asked is recorded first: it is never asked twice.
 */

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

/* Looks for a job's task among Proxmox's: it was asked to begin it, but its answer is not known. */

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

/* Follows a job's task to its end. */

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

#define QUESTION_US     (10 * SECOND_US)
#define DEMAND_US       (30 * SECOND_US) /* as long as Proxmox's own proxy waits */
#define STORE_RETRY_US  (5 * SECOND_US)
#define SILENCE_US      (SECOND_US * 24 * 3600)
#define SILENCE_FIRST   SECOND_US
#define SILENCE_LAST    (30 * SECOND_US)
#define BACKOFF_DOUBLES 16

int64_t job_step(const struct job_world *world, const struct job *job, struct job_memory *memory)
{
    if (job->upid[0])
        return job_follow_step(world, job, memory);
    return job->called_at_ms ? job_look_step(world, job, memory)
                             : job_call_step(world, job, memory);
}

static struct pve_call call_within(const struct job_world *world, int64_t time_us)
{
    return (struct pve_call){
        .client = world->client,
        .config = world->config,
        .node = world->node,
        .deadline_us = clock_steady_us() + time_us,
    };
}

struct pve_call job_question(const struct job_world *world)
{
    return call_within(world, QUESTION_US);
}

struct pve_call job_demand(const struct job_world *world)
{
    return call_within(world, DEMAND_US);
}

int job_guest(const struct job_world *world, const struct job *job, struct pve_guest *ret,
              struct error *error)
{
    struct guest guest;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(world->stores, &loan, error) < 0 ||
        guest_find(loan.store, job->vmid, &guest, error) < 0) {
        store_loan_failed(&loan, error);
        return -1;
    }
    *ret = (struct pve_guest){guest.kind, guest.vmid};
    return 0;
}

static int change_store(const struct job_world *world, const struct job *job, job_change *change,
                        const char *text, struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(world->stores, &loan, error) == 0 && change(loan.store, job, text, error) == 0)
        return 0;
    store_loan_failed(&loan, error);
    return -1;
}

int job_record(const struct job_world *world, const struct job *job, job_change *change,
               const char *text, struct error *error)
{
    if (change_store(world, job, change, text, error) < 0)
        return -1;
    nudge_send(world->config->paths.state);
    return 0;
}

static int change_begun(struct store *store, const struct job *job, const char *text,
                        struct error *error)
{
    return job_set_upid(store, job->job_id, text, error);
}

int job_record_begun(const struct job_world *world, const struct job *job, const char *upid,
                     struct error *error)
{
    return job_record(world, job, change_begun, upid, error);
}

int64_t job_unrecorded(const struct job_world *world, const struct job *job,
                       const struct error *error)
{
    job_tell(world, job, "its progress cannot be recorded", error->message);
    return STORE_RETRY_US;
}

static int change_failed(struct store *store, const struct job *job, const char *text,
                         struct error *error)
{
    return job_finish(store, job->job_id, false, text, clock_wall_ms(), error);
}

int64_t job_failed(const struct job_world *world, const struct job *job, const char *problem)
{
    struct error error;
    job_tell(world, job, "failed", problem);
    if (job_record(world, job, change_failed, problem, &error) < 0)
        return job_unrecorded(world, job, &error);
    return INT64_MAX;
}

void job_answered(struct job_memory *memory)
{
    memory->failures = 0;
}

int64_t job_missing_for(struct job_memory *memory)
{
    const int64_t now_us = clock_steady_us();
    if (memory->missing_since_us == 0)
        memory->missing_since_us = now_us;
    return now_us - memory->missing_since_us;
}

static int64_t give_up(const struct job_world *world, const struct job *job,
                       const struct error *error)
{
    struct error problem = *error;
    (void)fail_context(&problem, "Proxmox has not told for a day how it went");
    return job_failed(world, job, problem.message);
}

int64_t job_unanswered(const struct job_world *world, const struct job *job,
                       struct job_memory *memory, const struct error *error)
{
    const int64_t now_us = clock_steady_us();
    if (memory->failures++ == 0) {
        memory->silent_since_us = now_us;
        job_tell(world, job, "Proxmox does not tell how it goes", error->message);
    }
    if (now_us - memory->silent_since_us >= SILENCE_US)
        return give_up(world, job, error);
    return job_backoff(memory->failures, SILENCE_FIRST, SILENCE_LAST);
}

int64_t job_backoff(uint32_t count, int64_t first_us, int64_t last_us)
{
    const uint32_t doubles = count > BACKOFF_DOUBLES ? BACKOFF_DOUBLES : count;
    const int64_t wait_us = doubles ? first_us << (doubles - 1) : first_us;
    return wait_us < last_us ? wait_us : last_us;
}

void job_tell(const struct job_world *world, const struct job *job, const char *what,
              const char *detail)
{
    if (!atomic_load(world->stopping))
        log_guest(LOG_NOTICE, job->vmid, job_kind_name(job->kind),
                  "guest %u: job %lld (%s): %s: %s", job->vmid, (long long)job->job_id,
                  job_kind_name(job->kind), what, detail);
}
