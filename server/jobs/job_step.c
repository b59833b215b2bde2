/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state machine of one job. Every change is recorded in the store before the next step relies
 * on it. Above all it is recorded that Proxmox is about to be asked, because Proxmox must be asked
 * to begin a job only once, unless the request certainly did not reach it.
 *
 *   state in the store    step               what it does
 *   not called            job_call_step      asks Proxmox to begin the task
 *   called, no UPID       job_look_step      the reply was lost: looks for the task
 *   UPID                  job_follow_step    asks for the task's status until it has ended; after
 *                                            a rollback also for that of the guest's start
 *
 * All of this runs in the worker thread of jobs.c, without a lock. A store is borrowed for each
 * read or write, and never held while Proxmox is asked.
 */
#include "server/jobs/job_step.h"

#include <stdio.h>
#include <string.h>

#include "schema/base/units.h"
#include "server/base/worker.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/base/nudge.h"
#include "store/tables/guest.h"

#define READ_TIME_US   (10 * SECOND_US)
#define BEGIN_TIME_US  (30 * SECOND_US) /* as long as Proxmox's own proxy waits for its daemon */
#define STORE_RETRY_US (5 * SECOND_US)

/* --- what the steps share --- */

static struct pve_call job_pve_call(const struct job_world *world, int64_t time_us)
{
    return (struct pve_call){
        .client = world->client,
        .config = world->config,
        .node = world->node,
        .deadline_us = clock_steady_us() + time_us,
    };
}

static void job_log(const struct job_world *world, const struct job *job, const char *what,
                    const char *detail)
{
    if (!atomic_load(world->stopping))
        log_guest(LOG_NOTICE, job->vmid, job_kind_names[job->kind],
                  "guest %u: job %lld (%s): %s: %s", job->vmid, (long long)job->job_id,
                  job_kind_names[job->kind], what, detail);
}

/* Reads the guest's kind, which Proxmox's paths contain. */
static int job_read_guest(const struct job_world *world, const struct job *job,
                          struct pve_guest *ret, struct error *error)
{
    struct guest guest;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(world->stores, &loan, error) < 0 ||
        guest_find(loan.store, job->vmid, &guest, error) < 0)
        return store_loan_failed(&loan, error);
    *ret = (struct pve_guest){guest.kind, guest.vmid};
    return 0;
}

enum job_change {
    JOB_CHANGE_CALLED,
    JOB_CHANGE_UNCALLED,
    JOB_CHANGE_UPID, /* text: the task's UPID */
    JOB_CHANGE_SNAPSHOTTED,
    JOB_CHANGE_DONE,   /* text: Proxmox's warnings; NULL: none */
    JOB_CHANGE_FAILED, /* text: why */
};

static int job_write_change(struct store *store, int64_t job_id, enum job_change change,
                            const char *text, struct error *error)
{
    switch (change) {
    case JOB_CHANGE_CALLED:
        return job_call(store, job_id, clock_wall_ms(), error);
    case JOB_CHANGE_UNCALLED:
        return job_uncall(store, job_id, error);
    case JOB_CHANGE_UPID:
        return job_set_upid(store, job_id, text, error);
    case JOB_CHANGE_SNAPSHOTTED:
        return job_snapshotted(store, job_id, clock_wall_ms(), error);
    case JOB_CHANGE_DONE:
    case JOB_CHANGE_FAILED:
        break;
    }
    return job_finish(store, job_id, change == JOB_CHANGE_DONE, text, clock_wall_ms(), error);
}

/* Records the change, and sends a nudge, because the guest may wait for the event. */
static int job_record(const struct job_world *world, const struct job *job, enum job_change change,
                      const char *text, struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(world->stores, &loan, error) < 0 ||
        job_write_change(loan.store, job->job_id, change, text, error) < 0)
        return store_loan_failed(&loan, error);
    store_return(&loan);
    nudge_send(world->config->paths.state);
    return 0;
}

/* The store could not be read or written: the next step finds the job as it was. */
static int64_t job_unrecorded(const struct job_world *world, const struct job *job,
                              const struct error *error)
{
    job_log(world, job, "cannot record its progress", error->message);
    return STORE_RETRY_US;
}

static int64_t job_failed(const struct job_world *world, const struct job *job, const char *problem)
{
    struct error error;
    job_log(world, job, "failed", problem);
    if (job_record(world, job, JOB_CHANGE_FAILED, problem, &error) < 0)
        return job_unrecorded(world, job, &error);
    return INT64_MAX;
}

/* To be called when Proxmox has answered that there is no such task. Returns for how long it has
 * been answering that. */
static int64_t job_missing_for_us(struct job_memory *memory)
{
    const int64_t now_us = clock_steady_us();
    if (memory->missing_since_us == 0)
        memory->missing_since_us = now_us;
    return now_us - memory->missing_since_us;
}

#define SILENCE_US       (24 * HOUR_US)
#define SILENCE_FIRST_US SECOND_US
#define SILENCE_LAST_US  (30 * SECOND_US)

/* To be called when Proxmox has not answered. Returns in how many microseconds to ask again.
 * After a day without an answer the job fails. */
static int64_t job_unanswered(const struct job_world *world, const struct job *job,
                              struct job_memory *memory, const struct error *error)
{
    const int64_t now_us = clock_steady_us();
    if (memory->failures++ == 0) {
        memory->silent_since_us = now_us;
        job_log(world, job, "Proxmox does not say how it is going", error->message);
    }
    if (now_us - memory->silent_since_us >= SILENCE_US) {
        struct error problem = *error;
        (void)fail_context(&problem, "Proxmox has not said for a day how it went");
        return job_failed(world, job, problem.message);
    }
    return worker_backoff(memory->failures, SILENCE_FIRST_US, SILENCE_LAST_US);
}

int job_read_newest_backup(struct store_pool *stores, const struct pve_call *call, uint32_t vmid,
                           struct error *error)
{
    struct pve_backup newest;
    struct backup backup = {0};
    if (pve_newest_backup(call, vmid, &newest, error) < 0)
        return -1;
    (void)snprintf(backup.archive, sizeof backup.archive, "%s", newest.archive);
    backup.size_bytes = newest.size_bytes;
    backup.at_ms = newest.at * 1000;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(stores, &loan, error) == 0 &&
        backup_put(loan.store, vmid, &backup, error) == 0)
        return 0;
    return store_loan_failed(&loan, error);
}

/* --- asking Proxmox to begin the task --- */

#define RETRY_FIRST_US (2 * SECOND_US)
#define RETRY_LAST_US  (60 * SECOND_US)
#define RETRY_MS       (10 * MINUTE_MS) /* since the guest asked for the job */
#define TOO_LATE       "it could not be begun within 10 minutes"

/* A rollback stops the guest that asked for it, so it is begun only after the guest has had this
 * time to receive the reply to its request. */
#define ANSWER_MS ((int64_t)1000)

static int job_begin_task(const struct job_world *world, const struct pve_guest *guest,
                          const struct job *job, char ret_upid[static UPID_SIZE],
                          struct error *error)
{
    const struct pve_call call = job_pve_call(world, BEGIN_TIME_US);
    switch (job->kind) {
    case JOB_SNAPSHOT:
        return pve_snapshot_create(&call, guest, job->name, job->description, ret_upid, error);
    case JOB_ROLLBACK:
        return pve_snapshot_rollback(&call, guest, job->name, true, ret_upid, error);
    case JOB_BACKUP:
        break;
    }
    return pve_backup_begin(&call, guest->vmid, ret_upid, error);
}

/* The job was certainly not begun, and Proxmox has not refused it either: records that, so that
 * the call is made again later. */
static int64_t job_call_again(const struct job_world *world, const struct job *job,
                              struct job_memory *memory)
{
    struct error error;
    if (memory->failures++ == 0)
        job_log(world, job, "Proxmox cannot be asked yet", memory->problem.message);
    if (job_record(world, job, JOB_CHANGE_UNCALLED, NULL, &error) < 0)
        return job_unrecorded(world, job, &error);
    return worker_backoff(memory->failures, RETRY_FIRST_US, RETRY_LAST_US);
}

static bool job_was_refused(const struct job_world *world, const struct error *error)
{
    return pve_has_answered(world->client) && error->kind != ERROR_BUSY &&
           error->kind != ERROR_CORRUPT;
}

/* The call to begin the task has failed. If Proxmox refused the job before it began anything,
 * the job fails; if it certainly began nothing, the call is repeated later. After anything else,
 * such as a 500, Proxmox may have begun the task: the next step looks for it, and what Proxmox said
 * is kept as the reason in case there is none. */
static int64_t job_not_begun(const struct job_world *world, const struct job *job,
                             struct job_memory *memory, const struct error *error)
{
    const bool may_have_begun = pve_may_have_begun(world->client);
    const bool was_refused = job_was_refused(world, error);
    if (was_refused && !may_have_begun)
        return job_failed(world, job, error->message);
    if (was_refused || !may_have_begun)
        memory->problem = *error;
    if (!may_have_begun)
        return job_call_again(world, job, memory);
    job_log(world, job, "Proxmox may have begun it", error->message);
    memory->failures = 0;
    return SECOND_US;
}

/* True if there is no time left to have the job begun. The wall clock, by which its age is known
 * after a restart of felhomd as well, may be set back meanwhile. */
static bool job_is_too_late(int64_t age_ms, struct job_memory *memory)
{
    const int64_t now_us = clock_steady_us();
    if (memory->begin_until_us == 0)
        memory->begin_until_us = now_us + RETRY_MS * 1000;
    return age_ms >= RETRY_MS || now_us >= memory->begin_until_us;
}

static int64_t job_call_step(const struct job_world *world, const struct job *job,
                             struct job_memory *memory)
{
    struct error error;
    struct pve_guest guest;
    char upid[UPID_SIZE];
    const int64_t age_ms = clock_wall_ms() - job->created_at_ms;
    if (job_is_too_late(age_ms, memory))
        return job_failed(world, job, memory->problem.kind ? memory->problem.message : TOO_LATE);
    if (job->kind == JOB_ROLLBACK && age_ms >= 0 && age_ms < ANSWER_MS)
        return (ANSWER_MS - age_ms) * 1000;
    if (job_read_guest(world, job, &guest, &error) < 0 ||
        job_record(world, job, JOB_CHANGE_CALLED, NULL, &error) < 0)
        return job_unrecorded(world, job, &error);
    memory->problem.kind = ERROR_NONE;
    if (job_begin_task(world, &guest, job, upid, &error) < 0)
        return job_not_begun(world, job, memory, &error);
    job_log(world, job, "begun", upid);
    memory->failures = 0;
    if (job_record(world, job, JOB_CHANGE_UPID, upid, &error) < 0)
        return job_unrecorded(world, job, &error);
    return SECOND_US;
}

/* --- looking for the task --- */

#define EARLIER_SECONDS 2                /* Proxmox's clock may be a little behind ours */
#define LOOK_US         (60 * SECOND_US) /* a new task is not in the list at once */
#define LOOK_REFUSED_US (3 * SECOND_US)  /* if the task was most likely not begun */
#define NOBODY_KNOWS \
    "nobody knows whether Proxmox has begun it: its answer did not come, and there is no such " \
    "task"

static const char *job_task_type(enum job_kind kind, enum guest_kind guest_kind)
{
    static const char *const types[][2] = {
        [JOB_SNAPSHOT] = {[GUEST_LXC] = "vzsnapshot", [GUEST_QEMU] = "qmsnapshot"},
        [JOB_ROLLBACK] = {[GUEST_LXC] = "vzrollback", [GUEST_QEMU] = "qmrollback"},
        [JOB_BACKUP] = {[GUEST_LXC] = "vzdump", [GUEST_QEMU] = "vzdump"},
    };
    return types[kind][guest_kind];
}

/* Finds the earliest time, in seconds since 1970, at which the task may have begun. The guest's
 * previous task has ended by then; its status was first asked for a second after it began. */
static int job_begun_since(const struct job_world *world, const struct job *job, int64_t *ret,
                           struct error *error)
{
    struct upid previous;
    char upid[UPID_SIZE];
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(world->stores, &loan, error) < 0 ||
        job_previous_upid(loan.store, job, upid, error) < 0)
        return store_loan_failed(&loan, error);
    *ret = job->called_at_ms / 1000 - EARLIER_SECONDS;
    if (upid_parse(upid, &previous) && previous.started_at >= *ret)
        *ret = previous.started_at + 1;
    return 0;
}

static int64_t job_not_found(const struct job_world *world, const struct job *job,
                             struct job_memory *memory)
{
    const bool was_refused = memory->problem.kind != ERROR_NONE;
    if (job_missing_for_us(memory) < (was_refused ? LOOK_REFUSED_US : LOOK_US))
        return SECOND_US;
    return job_failed(world, job, was_refused ? memory->problem.message : NOBODY_KNOWS);
}

static int64_t job_look_step(const struct job_world *world, const struct job *job,
                             struct job_memory *memory)
{
    struct error error;
    struct pve_guest guest;
    int64_t since = 0;
    char upid[UPID_SIZE];
    const struct pve_call call = job_pve_call(world, READ_TIME_US);
    if (job_read_guest(world, job, &guest, &error) < 0 ||
        job_begun_since(world, job, &since, &error) < 0)
        return job_unrecorded(world, job, &error);
    if (pve_task_find(&call, job_task_type(job->kind, guest.kind), job->vmid, since, upid, &error) <
        0)
        return job_unanswered(world, job, memory, &error);
    memory->failures = 0;
    if (!upid[0])
        return job_not_found(world, job, memory);
    if (job_record(world, job, JOB_CHANGE_UPID, upid, &error) < 0)
        /* ERROR_CONFLICT: the task belongs to another job, so it is not this job's. */
        return error.kind == ERROR_CONFLICT ? job_not_found(world, job, memory)
                                            : job_unrecorded(world, job, &error);
    job_log(world, job, "found", upid);
    memory->missing_since_us = 0;
    return 0;
}

/* --- following the task to its end --- */

#define LINES_AT_ONCE 500
#define LOST_US       (30 * SECOND_US)
#define LOST          "Proxmox does not know the task any more: nobody knows how it ended"

static void job_take_log_line(int64_t number, const char *line, void *context)
{
    struct job_memory *memory = context;
    memory->lines = number;
    vzdump_log_take(&memory->log, line);
}

/* Reads the lines that were added to the task's log since the last step. */
static int job_read_log(const struct job_world *world, const struct job *job,
                        struct job_memory *memory, struct error *error)
{
    int64_t start;
    do {
        const struct pve_call call = job_pve_call(world, READ_TIME_US);
        start = memory->lines;
        if (pve_task_log(&call, job->upid, start, LINES_AT_ONCE, job_take_log_line, memory, error) <
            0)
            return -1;
    } while (memory->lines - start >= LINES_AT_ONCE);
    return 0;
}

static int64_t job_done(const struct job_world *world, const struct job *job,
                        const char *exitstatus)
{
    struct error error;
    const char *warnings = strcmp(exitstatus, "OK") == 0 ? NULL : exitstatus;
    const struct pve_call call = job_pve_call(world, READ_TIME_US);
    /* The newest backup is read first, so that whoever sees that the job is done also finds the
     * backup. */
    if (job->kind == JOB_BACKUP &&
        job_read_newest_backup(world->stores, &call, job->vmid, &error) < 0)
        job_log(world, job, "cannot look for the new backup", error.message);
    if (job_record(world, job, JOB_CHANGE_DONE, warnings, &error) < 0)
        return job_unrecorded(world, job, &error);
    job_log(world, job, "done", exitstatus);
    return INT64_MAX;
}

/* --- after a rollback: does the guest start? --- */

#define START_LISTED_US (3 * SECOND_US) /* a new task is not in the list at once */
#define START_TIME_US   (60 * SECOND_US)
#define START_TIME_HA_US \
    (5 * MINUTE_US) /* high availability may first have other things to do, on any node */

/* The task that Proxmox has begun for the guest's start. */
struct start_task {
    char upid[UPID_SIZE]; /* "": there is none */
    bool by_ha;           /* it only asks high availability to start the guest */
};

static int64_t job_not_started(const struct job_world *world, const struct job *job,
                               const char *problem)
{
    struct error error;
    (void)fail(&error, ERROR_CONFLICT, "rolled back, but did not start: %s", problem);
    return job_failed(world, job, error.message);
}

/* The rollback's task has begun the start before it ended, so the oldest such task since then is
 * the one. */
static int job_find_start(const struct job_world *world, const struct job *job,
                          enum guest_kind kind, struct start_task *ret, struct error *error)
{
    struct upid rollback;
    const struct pve_call call = job_pve_call(world, READ_TIME_US);
    *ret = (struct start_task){.by_ha = false};
    if (!upid_parse(job->upid, &rollback))
        return 0;
    if (pve_task_find(&call, kind == GUEST_QEMU ? "qmstart" : "vzstart", job->vmid,
                      rollback.started_at, ret->upid, error) < 0)
        return -1;
    if (ret->upid[0])
        return 0;
    ret->by_ha = true;
    return pve_task_find(&call, "hastart", job->vmid, rollback.started_at, ret->upid, error);
}

/* No task says whether the guest has started: waits until it runs. */
static int64_t job_await_running(const struct job_world *world, const struct job *job,
                                 struct job_memory *memory, const struct pve_guest *guest,
                                 const struct start_task *start, const char *exitstatus)
{
    struct error error;
    bool runs = false;
    const int64_t now_us = clock_steady_us();
    const struct pve_call call = job_pve_call(world, READ_TIME_US);
    if (memory->start_awaited_since_us == 0)
        memory->start_awaited_since_us = now_us;
    const int64_t waited_us = now_us - memory->start_awaited_since_us;
    if (!start->upid[0] && waited_us < START_LISTED_US)
        return SECOND_US;
    if (pve_guest_runs(&call, guest, &runs, &error) < 0)
        return job_unanswered(world, job, memory, &error);
    memory->failures = 0;
    if (runs)
        return job_done(world, job, exitstatus);
    if (waited_us < (start->upid[0] ? START_TIME_HA_US : START_TIME_US))
        return SECOND_US;
    return job_not_started(world, job,
                           start->upid[0] ? "high availability was asked to start it, but it does "
                                            "not run"
                                          : "Proxmox has not begun to, and it does not run");
}

/* The rollback itself went well. Which task starts the guest is found out anew in each step, so
 * that a restart of felhomd changes nothing. */
static int64_t job_start_step(const struct job_world *world, const struct job *job,
                              struct job_memory *memory, const char *exitstatus)
{
    struct error error;
    struct pve_guest guest;
    struct start_task start;
    struct pve_task_status status = {.running = false};
    const struct pve_call call = job_pve_call(world, READ_TIME_US);
    if (job_read_guest(world, job, &guest, &error) < 0)
        return job_unrecorded(world, job, &error);
    if (job_find_start(world, job, guest.kind, &start, &error) < 0)
        return job_unanswered(world, job, memory, &error);
    if (start.upid[0] && pve_task_status(&call, start.upid, &status, &error) < 0) {
        if (error.kind != ERROR_MISSING)
            return job_unanswered(world, job, memory, &error);
        start.upid[0] = '\0';
    }
    if (!start.upid[0] || (start.by_ha && status.succeeded))
        return job_await_running(world, job, memory, &guest, &start, exitstatus);
    memory->failures = 0;
    if (status.running)
        return SECOND_US;
    if (!status.succeeded)
        return job_not_started(world, job, status.exitstatus);
    return job_done(world, job, strcmp(exitstatus, "OK") == 0 ? status.exitstatus : exitstatus);
}

static int64_t job_ended(const struct job_world *world, const struct job *job,
                         const struct job_memory *memory, const struct pve_task_status *status)
{
    if (status->succeeded)
        return job_done(world, job, status->exitstatus);
    return job_failed(world, job,
                      memory->log.problem[0] ? memory->log.problem : status->exitstatus);
}

/* The status could not be read. If Proxmox says that there is no such task, the job fails only
 * once it has been saying so for LOST_US, because that may be wrong for a moment. */
static int64_t job_no_status(const struct job_world *world, const struct job *job,
                             struct job_memory *memory, const struct error *error)
{
    if (error->kind != ERROR_MISSING)
        return job_unanswered(world, job, memory, error);
    memory->failures = 0;
    return job_missing_for_us(memory) < LOST_US ? SECOND_US : job_failed(world, job, LOST);
}

static int64_t job_follow_step(const struct job_world *world, const struct job *job,
                               struct job_memory *memory)
{
    struct error error;
    struct pve_task_status status;
    const struct pve_call call = job_pve_call(world, READ_TIME_US);
    if (pve_task_status(&call, job->upid, &status, &error) < 0)
        return job_no_status(world, job, memory, &error);
    memory->missing_since_us = 0;
    if (job->kind == JOB_ROLLBACK && status.succeeded)
        return job_start_step(world, job, memory, status.exitstatus);
    if (job->kind == JOB_BACKUP && job_read_log(world, job, memory, &error) < 0)
        return job_unanswered(world, job, memory, &error);
    memory->failures = 0;
    if (memory->log.snapshotted && job->phase == JOB_RUNNING &&
        job_record(world, job, JOB_CHANGE_SNAPSHOTTED, NULL, &error) < 0)
        return job_unrecorded(world, job, &error);
    return status.running ? SECOND_US : job_ended(world, job, memory, &status);
}

int64_t job_step(const struct job_world *world, const struct job *job, struct job_memory *memory)
{
    if (job->upid[0])
        return job_follow_step(world, job, memory);
    return job->called_at_ms ? job_look_step(world, job, memory)
                             : job_call_step(world, job, memory);
}
