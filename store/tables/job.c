/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/job.h"

#include <string.h>

#include "schema/base/memory.h"
#include "store/db/sql.h"
#include "store/tables/event.h"

#define JOBS_KEPT 100

const char *const job_kind_names[] = {
    [JOB_SNAPSHOT] = "snapshot",
    [JOB_ROLLBACK] = "rollback",
    [JOB_BACKUP] = "backup",
    NULL,
};

const char *const job_phase_names[] = {
    [JOB_RUNNING] = "running",
    [JOB_SNAPSHOTTED] = "snapshotted",
    [JOB_DONE] = "done",
    [JOB_FAILED] = "failed",
    NULL,
};

/* --- rows --- */

#define JOB_COLUMNS \
    "job_id, vmid, kind, phase, upid, name, description, error, created_at_ms, called_at_ms," \
    " finished_at_ms, due"
#define SELECT_JOB "SELECT " JOB_COLUMNS " FROM job"

static struct job job_from_row(const struct sql_query *query)
{
    struct job job = {
        .job_id = sql_column_int(query, 0),
        .vmid = (uint32_t)sql_column_int(query, 1),
        .kind = (enum job_kind)sql_column_choice(query, 2, job_kind_names),
        .phase = (enum job_phase)sql_column_choice(query, 3, job_phase_names),
        .created_at_ms = sql_column_int(query, 8),
        .called_at_ms = sql_column_int(query, 9),
        .finished_at_ms = sql_column_int(query, 10),
        .due = sql_column_int(query, 11) != 0,
    };
    sql_column_copy(query, 4, job.upid, sizeof job.upid);
    sql_column_copy(query, 5, job.name, sizeof job.name);
    sql_column_copy(query, 6, job.description, sizeof job.description);
    sql_column_copy(query, 7, job.error, sizeof job.error);
    return job;
}

/* Runs a statement with at most one row. Returns 1 and fills *ret, 0 if there is no row, -1 on
 * failure. */
static int job_one(struct store *store, const char *sql, struct sql_values values, struct job *ret,
                   struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, sql, values, &query, error);
    if (row > 0)
        *ret = job_from_row(&query);
    return row;
}

/* Like job_one, but returns 0 with ret->job_id 0 if there is no row. */
static int job_find(struct store *store, const char *sql, struct sql_values values, struct job *ret,
                    struct error *error)
{
    struct job job = {0};
    if (job_one(store, sql, values, &job, error) < 0)
        return -1;
    *ret = job;
    return 0;
}

int job_newest(struct store *store, uint32_t vmid, enum job_kind kind, struct job *ret,
               struct error *error)
{
    return job_find(store, SELECT_JOB " WHERE vmid = ?1 AND kind = ?2 ORDER BY job_id DESC LIMIT 1",
                    sql_values(sql_int(vmid), sql_text(job_kind_names[kind])), ret, error);
}

int job_unfinished(struct store *store, uint32_t vmid, struct job *ret, struct error *error)
{
    return job_find(store, SELECT_JOB " WHERE vmid = ?1 AND finished_at_ms IS NULL",
                    sql_values(sql_int(vmid)), ret, error);
}

int job_mark(struct store *store, uint32_t vmid, struct job_mark *ret, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store,
                        "SELECT ifnull(max(job_id), 0), count(*) - count(finished_at_ms) FROM job"
                        " WHERE vmid = ?1",
                        sql_values(sql_int(vmid)), &query, error);
    if (row <= 0)
        return -1;
    *ret = (struct job_mark){
        .newest = sql_column_int(&query, 0),
        .unfinished = sql_column_int(&query, 1),
    };
    return 0;
}

int job_each_unfinished(struct store *store, int (*visit)(const struct job *job, void *context),
                        void *context, struct error *error)
{
    return sql_visit(store, SELECT_JOB " WHERE finished_at_ms IS NULL ORDER BY job_id",
                     SQL_NO_VALUES, struct job, job_from_row, visit, context, error);
}

int job_previous_upid(struct store *store, const struct job *job, char ret_upid[static UPID_SIZE],
                      struct error *error)
{
    struct job previous;
    if (job_find(store,
                 SELECT_JOB " WHERE vmid = ?1 AND job_id < ?2 AND upid <> ''"
                            " ORDER BY job_id DESC LIMIT 1",
                 sql_values(sql_int(job->vmid), sql_int(job->job_id)), &previous, error) < 0)
        return -1;
    memcpy(ret_upid, previous.upid, UPID_SIZE);
    return 0;
}

/* --- events --- */

/* Adds an event about the job. Takes over text. */
static int job_add_event(struct store *store, const struct job *job, const char *outcome,
                         char *text, int64_t now_ms, struct error *error)
{
    cleanup_free char *happened = text;
    cleanup_free char *detail = mem_format("job %lld: %s", (long long)job->job_id, happened);
    const struct event event = {
        .at_ms = now_ms,
        .vmid = job->vmid,
        .kind = job_kind_names[job->kind],
        .outcome = outcome,
        .detail = detail,
        .duration_us = job->finished_at_ms ? (now_ms - job->created_at_ms) * 1000 : -1,
    };
    return event_add(store, &event, error);
}

static char *job_describe_begin(const struct job *job)
{
    switch (job->kind) {
    case JOB_SNAPSHOT:
        return mem_format("begun: %s", job->name);
    case JOB_ROLLBACK:
        return mem_format("begun: back to %s; Proxmox stops the guest for it and starts it again",
                          job->name);
    default:
        return mem_copy_text("begun");
    }
}

static char *job_describe_end(const struct job *job)
{
    return mem_format("%s%s%s", job_phase_names[job->phase], job->error[0] ? ": " : "", job->error);
}

static const char *job_outcome(const struct job *job)
{
    if (job->phase == JOB_FAILED)
        return "error";
    return job->error[0] ? "warning" : "ok";
}

/* --- the life of a job --- */

static int job_refuse_second(struct store *store, uint32_t vmid, struct job_obstacle *ret_obstacle,
                             struct error *error)
{
    struct job running;
    if (job_unfinished(store, vmid, &running, error) < 0)
        return -1;
    if (running.job_id == 0)
        return 0;
    ret_obstacle->running = running;
    return fail(error, ERROR_CONFLICT, "job %lld (%s) is running", (long long)running.job_id,
                job_kind_names[running.kind]);
}

/* Finds out whether the guest has asked for a backup that was due since the newest one was made. */
static int job_due_was_asked(struct store *store, uint32_t vmid, int64_t since_ms, bool *ret,
                             struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store,
                        "SELECT 1 FROM job WHERE vmid = ?1 AND kind = 'backup' AND due = 1"
                        " AND created_at_ms >= ?2 LIMIT 1",
                        sql_values(sql_int(vmid), sql_int(since_ms)), &query, error);
    if (row < 0)
        return -1;
    *ret = row > 0;
    return 0;
}

/* A job that is dated in the future, as the clock was set back, does not count: it might for ever.
 */
static int job_refuse_early(struct store *store, const struct job *job,
                            const struct job_limit *limit, const struct job *newest, int64_t now_ms,
                            struct job_obstacle *ret_obstacle, struct error *error)
{
    bool was_asked = true;
    const int64_t age_ms = now_ms - newest->created_at_ms;
    if (newest->job_id == 0 || age_ms < 0 || age_ms >= limit->interval_ms)
        return 0;
    if (job->due && job_due_was_asked(store, job->vmid, limit->backup_at_ms, &was_asked, error) < 0)
        return -1;
    if (!was_asked)
        return 0;
    ret_obstacle->wait_ms = limit->interval_ms - age_ms;
    return fail(error, ERROR_CONFLICT, "job %lld (%s) was requested %lld seconds ago",
                (long long)newest->job_id, job_kind_names[job->kind], (long long)(age_ms / 1000));
}

int job_check(struct store *store, const struct job *job, const struct job_limit *limit,
              int64_t now_ms, struct job_obstacle *ret_obstacle, struct error *error)
{
    struct job newest;
    *ret_obstacle = (struct job_obstacle){.wait_ms = 0};
    if (job_refuse_second(store, job->vmid, ret_obstacle, error) < 0)
        return -1;
    if (!limit)
        return 0;
    if (job_newest(store, job->vmid, job->kind, &newest, error) < 0 ||
        job_refuse_early(store, job, limit, &newest, now_ms, ret_obstacle, error) < 0)
        return -1;
    ret_obstacle->outdated = limit->seen >= 0 && newest.job_id != limit->seen;
    if (!ret_obstacle->outdated)
        return 0;
    return fail(error, ERROR_CONFLICT, "job %lld (%s) was requested meanwhile",
                (long long)newest.job_id, job_kind_names[job->kind]);
}

static int job_insert(struct store *store, const struct job *job, int64_t now_ms, struct job *ret,
                      struct error *error)
{
    int row = job_one(store,
                      "INSERT INTO job"
                      " (vmid, kind, phase, name, description, created_at_ms, changed_at_ms, due)"
                      " VALUES (?1, ?2, 'running', ?3, ?4, ?5, ?5, ?6) RETURNING " JOB_COLUMNS,
                      sql_values(sql_int(job->vmid), sql_text(job_kind_names[job->kind]),
                                 sql_text(job->name), sql_text(job->description), sql_int(now_ms),
                                 sql_int(job->due)),
                      ret, error);
    return row < 0 ? -1 : 0;
}

static int job_forget_old(struct store *store, const struct job *job, struct error *error)
{
    return sql_run(
        store,
        "DELETE FROM job WHERE job_id IN (SELECT job_id FROM job"
        " WHERE vmid = ?1 AND kind = ?2 AND finished_at_ms IS NOT NULL"
        " ORDER BY job_id DESC LIMIT -1 OFFSET ?3)",
        sql_values(sql_int(job->vmid), sql_text(job_kind_names[job->kind]), sql_int(JOBS_KEPT)),
        error);
}

int job_add(struct store *store, const struct job *job, const struct job_limit *limit,
            int64_t now_ms, int64_t *ret_job_id, struct job_obstacle *ret_obstacle,
            struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    struct job added = {0};
    if (transaction_begin(store, &transaction, error) < 0 ||
        job_check(store, job, limit, now_ms, ret_obstacle, error) < 0 ||
        job_insert(store, job, now_ms, &added, error) < 0 ||
        job_forget_old(store, job, error) < 0 ||
        job_add_event(store, &added, "ok", job_describe_begin(&added), now_ms, error) < 0 ||
        transaction_commit(&transaction, error) < 0)
        return -1;
    *ret_job_id = added.job_id;
    return 0;
}

int job_call(struct store *store, int64_t job_id, int64_t now_ms, struct error *error)
{
    return sql_must_change(store,
                           "UPDATE job SET called_at_ms = ?2, changed_at_ms = ?2"
                           " WHERE job_id = ?1 AND called_at_ms IS NULL AND finished_at_ms IS NULL",
                           sql_values(sql_int(job_id), sql_int(now_ms)), error, ERROR_CONFLICT,
                           "job %lld was called before, or is finished", (long long)job_id);
}

int job_uncall(struct store *store, int64_t job_id, struct error *error)
{
    return sql_must_change(store,
                           "UPDATE job SET called_at_ms = NULL"
                           " WHERE job_id = ?1 AND upid = '' AND finished_at_ms IS NULL",
                           sql_values(sql_int(job_id)), error, ERROR_CONFLICT,
                           "job %lld was begun, or is finished", (long long)job_id);
}

int job_set_upid(struct store *store, int64_t job_id, const char *upid, struct error *error)
{
    return sql_must_change(
        store,
        "UPDATE job SET upid = ?2 WHERE job_id = ?1 AND upid = ''"
        " AND finished_at_ms IS NULL AND NOT EXISTS (SELECT 1 FROM job AS other"
        " WHERE other.vmid = job.vmid AND other.upid = ?2)",
        sql_values(sql_int(job_id), sql_text(upid)), error, ERROR_CONFLICT,
        "job %lld cannot have this task: it has another one, or another job has it",
        (long long)job_id);
}

int job_snapshotted(struct store *store, int64_t job_id, int64_t now_ms, struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    struct job job;
    if (transaction_begin(store, &transaction, error) < 0)
        return -1;
    int row = job_one(store,
                      "UPDATE job SET phase = 'snapshotted', changed_at_ms = ?2"
                      " WHERE job_id = ?1 AND phase = 'running' RETURNING " JOB_COLUMNS,
                      sql_values(sql_int(job_id), sql_int(now_ms)), &job, error);
    if (row <= 0)
        return row;
    if (job_add_event(store, &job, "ok", mem_copy_text("snapshotted"), now_ms, error) < 0)
        return -1;
    return transaction_commit(&transaction, error);
}

int job_finish(struct store *store, int64_t job_id, bool succeeded, const char *problem,
               int64_t now_ms, struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    struct job job;
    const enum job_phase phase = succeeded || !problem ? JOB_DONE : JOB_FAILED;
    if (transaction_begin(store, &transaction, error) < 0)
        return -1;
    int row = job_one(store,
                      "UPDATE job SET phase = ?2, error = ?3, finished_at_ms = ?4,"
                      " changed_at_ms = ?4 WHERE job_id = ?1 AND finished_at_ms IS NULL"
                      " RETURNING " JOB_COLUMNS,
                      sql_values(sql_int(job_id), sql_text(job_phase_names[phase]),
                                 sql_text(problem ? problem : ""), sql_int(now_ms)),
                      &job, error);
    if (row <= 0)
        return row;
    if (job_add_event(store, &job, job_outcome(&job), job_describe_end(&job), now_ms, error) < 0)
        return -1;
    return transaction_commit(&transaction, error);
}

/* --- the newest backup of a guest --- */

static int backup_forget(struct store *store, uint32_t vmid, struct error *error)
{
    return sql_run(store, "DELETE FROM backup WHERE vmid = ?1", sql_values(sql_int(vmid)), error);
}

int backup_put(struct store *store, uint32_t vmid, const struct backup *backup, struct error *error)
{
    if (backup->archive[0] == '\0')
        return backup_forget(store, vmid, error);
    return sql_run(store,
                   "INSERT INTO backup (vmid, archive, size_bytes, at_ms) VALUES (?1, ?2, ?3, ?4)"
                   " ON CONFLICT (vmid) DO UPDATE SET archive = excluded.archive,"
                   " size_bytes = excluded.size_bytes, at_ms = excluded.at_ms"
                   " WHERE (excluded.archive, excluded.size_bytes, excluded.at_ms)"
                   " IS NOT (backup.archive, backup.size_bytes, backup.at_ms)",
                   sql_values(sql_int(vmid), sql_text(backup->archive), sql_int(backup->size_bytes),
                              sql_int(backup->at_ms)),
                   error);
}

int backup_get(struct store *store, uint32_t vmid, struct backup *ret, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, "SELECT archive, size_bytes, at_ms FROM backup WHERE vmid = ?1",
                        sql_values(sql_int(vmid)), &query, error);
    if (row < 0)
        return -1;
    *ret = (struct backup){.size_bytes = -1};
    if (row == 0)
        return 0;
    sql_column_copy(&query, 0, ret->archive, sizeof ret->archive);
    ret->size_bytes = sql_column_int(&query, 1);
    ret->at_ms = sql_column_int(&query, 2);
    return 0;
}

/* --- restore tests --- */

int restore_test_begin(struct store *store, const struct restore_test *test, struct error *error)
{
    return sql_run(store,
                   "INSERT OR REPLACE INTO restore_test"
                   " (vmid, spare_vmid, archive, passed, error, started_at_ms, finished_at_ms)"
                   " VALUES (?1, ?2, ?3, 0, '', ?4, NULL)",
                   sql_values(sql_int(test->vmid), sql_int(test->spare_vmid),
                              sql_text(test->archive), sql_int(test->started_at_ms)),
                   error);
}

#define UNKNOWN_TEST "the store knows no restore test of guest %u"

static int restore_test_set_result(struct store *store, uint32_t vmid, const char *problem,
                                   int64_t now_ms, struct error *error)
{
    return sql_must_change(store,
                           "UPDATE restore_test SET passed = ?2, error = ?3,"
                           " finished_at_ms = ?4 WHERE vmid = ?1",
                           sql_values(sql_int(vmid), sql_int(!problem),
                                      sql_text(problem ? problem : ""), sql_int(now_ms)),
                           error, ERROR_MISSING, UNKNOWN_TEST, vmid);
}

static int restore_test_add_event(struct store *store, uint32_t vmid, const char *problem,
                                  int64_t now_ms, struct error *error)
{
    struct restore_test test;
    if (restore_test_get(store, vmid, &test, error) < 0)
        return -1;
    cleanup_free char *detail = problem
                                    ? mem_format("%s: %s", test.archive, problem)
                                    : mem_format("%s was restored, and the copy ran", test.archive);
    const struct event event = {
        .at_ms = now_ms,
        .vmid = vmid,
        .kind = "restore-test",
        .outcome = problem ? "error" : "ok",
        .detail = detail,
        .duration_us = now_ms < test.started_at_ms ? -1 : (now_ms - test.started_at_ms) * 1000,
    };
    return event_add(store, &event, error);
}

int restore_test_finish(struct store *store, uint32_t vmid, const char *problem, int64_t now_ms,
                        struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(store, &transaction, error) < 0 ||
        restore_test_set_result(store, vmid, problem, now_ms, error) < 0 ||
        restore_test_add_event(store, vmid, problem, now_ms, error) < 0)
        return -1;
    return transaction_commit(&transaction, error);
}

int restore_test_forget_spare(struct store *store, uint32_t vmid, struct error *error)
{
    return sql_must_change(store, "UPDATE restore_test SET spare_vmid = 0 WHERE vmid = ?1",
                           sql_values(sql_int(vmid)), error, ERROR_MISSING, UNKNOWN_TEST, vmid);
}

#define SELECT_TEST \
    "SELECT vmid, spare_vmid, archive, passed, error, started_at_ms," \
    " ifnull(finished_at_ms, 0) FROM restore_test"

static struct restore_test restore_test_from_row(const struct sql_query *query)
{
    struct restore_test test = {
        .vmid = (uint32_t)sql_column_int(query, 0),
        .spare_vmid = (uint32_t)sql_column_int(query, 1),
        .passed = sql_column_int(query, 3) != 0,
        .started_at_ms = sql_column_int(query, 5),
        .finished_at_ms = sql_column_int(query, 6),
    };
    sql_column_copy(query, 2, test.archive, sizeof test.archive);
    sql_column_copy(query, 4, test.error, sizeof test.error);
    return test;
}

int restore_test_get(struct store *store, uint32_t vmid, struct restore_test *ret,
                     struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row =
        sql_first(store, SELECT_TEST " WHERE vmid = ?1", sql_values(sql_int(vmid)), &query, error);
    if (row < 0)
        return -1;
    *ret = row ? restore_test_from_row(&query) : (struct restore_test){.vmid = 0};
    return 0;
}

int restore_test_each(struct store *store,
                      int (*visit)(const struct restore_test *test, void *context), void *context,
                      struct error *error)
{
    return sql_visit(store, SELECT_TEST " ORDER BY vmid", SQL_NO_VALUES, struct restore_test,
                     restore_test_from_row, visit, context, error);
}
