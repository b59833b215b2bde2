/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/backup_due.h"
#include "schema/json/json.h"
#include "server/api/handlers.h"
#include "server/api/snapshots.h"
#include "server/base/context.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "store/base/clock.h"
#include "store/tables/job.h"

/* A backup may be known from its job before Proxmox lists it. */
static int64_t newest_backup(const struct backup *backup, const struct job *job)
{
    bool is_later = job->phase == JOB_DONE && job->finished_at_ms > backup->at_ms;
    return job->job_id && is_later ? job->finished_at_ms : backup->at_ms;
}

static int read_state(const struct request *request, struct backup_state *ret, struct error *error)
{
    struct store *store = request->view->store;
    struct backup backup;
    struct job job;
    const struct config *config = request->config;
    if (backup_get(store, request->vmid, &backup, error) < 0 ||
        job_newest(store, request->vmid, JOB_BACKUP, &job, error) < 0)
        return -1;
    *ret = (struct backup_state){
        .now_ms = clock_wall_ms(),
        .backup_at_ms = newest_backup(&backup, &job),
        .running_job_id = job.finished_at_ms == 0 ? job.job_id : 0,
        .max_age_ms = config->backup.max_age_ms,
        .window = config->backup.window,
    };
    return 0;
}

static json_t *describe_due(uint32_t vmid, const struct backup_due *due)
{
    return json_pack("{s:I, s:b, s:s, s:o}",   /**/
                     "vmid", (json_int_t)vmid, /**/
                     "due", due->due,          /**/
                     "reason", due->reason,    /**/
                     "age_seconds",            /**/
                     due->age_seconds < 0 ? json_null() : json_integer(due->age_seconds));
}

void backup_due_get(struct context *context, const struct request *request, struct reply *reply)
{
    struct error error;
    struct backup_state state;
    if (read_state(request, &state, &error) < 0) {
        reply_internal_failure(reply, context, request->view, &error);
        return;
    }
    struct backup_due due = backup_due_decide(&state);
    reply_data(reply, 200, describe_due(request->vmid, &due));
}

/* What a test may take beyond its deadline to have its copy destroyed. */
#define SLACK_MS (INT64_C(15) * 60 * 1000)

enum phase { PHASE_IDLE, PHASE_RUNNING, PHASE_DONE, PHASE_FAILED };

static const char *const phase_names[] = {"idle", "running", "done", "failed"};

/* A clock that was put back in the meantime makes no difference. */
static bool may_run(const struct restore_test *test, const struct config *config, int64_t now_ms)
{
    int64_t age_ms = now_ms - test->started_at_ms;
    int64_t limit_ms = (int64_t)config->restore_test.deadline_ms + SLACK_MS;
    return -limit_ms < age_ms && age_ms < limit_ms;
}

static enum phase find_phase(const struct restore_test *test, const struct config *config,
                             int64_t now_ms)
{
    if (test->vmid == 0)
        return PHASE_IDLE;
    if (test->finished_at_ms == 0)
        return may_run(test, config, now_ms) ? PHASE_RUNNING : PHASE_FAILED;
    return test->passed ? PHASE_DONE : PHASE_FAILED;
}

static json_t *describe_error(const struct restore_test *test)
{
    return json_text(test->finished_at_ms ? test->error : RESTORE_TEST_INTERRUPTED);
}

static json_t *describe_restore_test(uint32_t vmid, const struct restore_test *test,
                                     enum phase phase)
{
    bool ended = phase == PHASE_DONE || phase == PHASE_FAILED;
    return json_pack("{s:I, s:s, s:o, s:o, s:o, s:o}",                                        /**/
                     "vmid", (json_int_t)vmid,                                                /**/
                     "phase", phase_names[phase],                                             /**/
                     "archive", phase == PHASE_IDLE ? json_null() : json_text(test->archive), /**/
                     "passed", ended ? json_boolean(phase == PHASE_DONE) : json_null(),       /**/
                     "at", json_time(test->finished_at_ms),                                   /**/
                     "error", phase == PHASE_FAILED ? describe_error(test) : json_null());
}

void restore_test_status_get(struct context *context, const struct request *request,
                             struct reply *reply)
{
    struct error error;
    struct restore_test test;
    if (restore_test_get(request->view->store, request->vmid, &test, &error) < 0) {
        reply_internal_failure(reply, context, request->view, &error);
        return;
    }
    enum phase phase = find_phase(&test, request->config, clock_wall_ms());
    reply_data(reply, 200, describe_restore_test(request->vmid, &test, phase));
}

void backup_post(struct context *context, const struct request *request, struct reply *reply)
{
    static const struct json_body_key no_keys[1];
    static const struct job job = {.kind = JOB_BACKUP};
    char *no_values[1];
    if (body_read(request, no_keys, 0, no_values, reply) &&
        enqueue_possible(context, request, reply))
        enqueue(context, request, &job, reply);
}

static json_t *describe_backup(const struct backup *backup)
{
    if (backup->archive[0] == '\0')
        return json_null();
    return json_pack("{s:o, s:o, s:o}", "archive", json_text(backup->archive), "size_bytes",
                     backup->size_bytes < 0 ? json_null()
                                            : json_integer((json_int_t)backup->size_bytes),
                     "at", json_time(backup->at_ms));
}

/* A guest that never asked for one is idle. */
static json_t *describe_status(uint32_t vmid, const struct job *job, const struct backup *backup)
{
    const bool any = job->job_id != 0;
    return json_pack("{s:I, s:s, s:o, s:o, s:o}",                                         /**/
                     "vmid", (json_int_t)vmid,                                            /**/
                     "phase", any ? job_phase_name(job->phase) : "idle",                  /**/
                     "job_id", any ? json_integer((json_int_t)job->job_id) : json_null(), /**/
                     "error", any && job->phase == JOB_FAILED ? json_text(job->error) : json_null(),
                     "backup", describe_backup(backup));
}

void backup_status_get(struct context *context, const struct request *request, struct reply *reply)
{
    struct error error;
    struct job job;
    struct backup backup;
    struct store *store = request->view->store;
    if (job_newest(store, request->vmid, JOB_BACKUP, &job, &error) == 0 &&
        backup_get(store, request->vmid, &backup, &error) == 0)
        reply_data(reply, 200, describe_status(request->vmid, &job, &backup));
    else
        reply_internal_failure(reply, context, request->view, &error);
}
