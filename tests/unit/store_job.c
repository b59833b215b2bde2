/* SPDX-License-Identifier: Apache-2.0 */
/* What the store records about guests' jobs and their newest backups. */
#include "store/tables/job.h"

#include "tests/unit/store_fixture.h"

#define UPID "UPID:pve:00001000:12345678:6B0A0C00:vzdump:8200:felhom-agent@pve!agent:"

#define EVENTS \
    "SELECT group_concat(at_ms || ' ' || kind || ' ' || outcome || ' ' || detail || ' '" \
    " || duration_us, '; ') FROM (SELECT * FROM event WHERE vmid = 8200 ORDER BY seq)"

static struct job job_named(enum job_kind kind, const char *name)
{
    struct job job = {.vmid = 8200, .kind = kind};
    (void)snprintf(job.name, sizeof job.name, "%s", name);
    return job;
}

static int64_t add(struct store *store, const struct job *job, int64_t now_ms)
{
    int64_t job_id = -1;
    struct job_obstacle obstacle;
    OK(job_add(store, job, NULL, now_ms, &job_id, &obstacle, &error));
    return job_id;
}

static int64_t add_backup(struct store *store, uint32_t vmid)
{
    const struct job job = {.vmid = vmid, .kind = JOB_BACKUP};
    return add(store, &job, 5000);
}

static struct job newest(struct store *store, uint32_t vmid, enum job_kind kind)
{
    struct job job;
    memset(&job, 0xEE, sizeof job);
    OK(job_newest(store, vmid, kind, &job, &error));
    return job;
}

static struct job unfinished(struct store *store, uint32_t vmid)
{
    struct job job;
    memset(&job, 0xEE, sizeof job);
    OK(job_unfinished(store, vmid, &job, &error));
    return job;
}

static struct store *store_with_guest(void)
{
    struct store *store = store_of_scratch();
    put_guest(store, 8200);
    return store;
}

/* --- */

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(job_kind_names[JOB_SNAPSHOT], "snapshot");
    assert_string_equal(job_kind_names[JOB_ROLLBACK], "rollback");
    assert_string_equal(job_kind_names[JOB_BACKUP], "backup");
    assert_string_equal(job_phase_names[JOB_RUNNING], "running");
    assert_string_equal(job_phase_names[JOB_SNAPSHOTTED], "snapshotted");
    assert_string_equal(job_phase_names[JOB_DONE], "done");
    assert_string_equal(job_phase_names[JOB_FAILED], "failed");
}

static void test_none(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    assert_int_equal(newest(store, 8200, JOB_BACKUP).job_id, 0);
    assert_int_equal(unfinished(store, 8200).job_id, 0);
    assert_int_equal(unfinished(store, 8299).job_id, 0);
}

static void test_added(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    struct job wish = job_named(JOB_SNAPSHOT, "before");
    (void)strcpy(wish.description, "before the update");
    const int64_t job_id = add(store, &wish, 5000);
    const struct job job = unfinished(store, 8200);
    assert_int_equal(job.job_id, job_id);
    assert_int_equal(job.vmid, 8200);
    assert_int_equal(job.kind, JOB_SNAPSHOT);
    assert_int_equal(job.phase, JOB_RUNNING);
    assert_string_equal(job.upid, "");
    assert_string_equal(job.name, "before");
    assert_string_equal(job.description, "before the update");
    assert_string_equal(job.error, "");
    assert_int_equal(job.created_at_ms, 5000);
    assert_int_equal(job.called_at_ms, 0);
    assert_int_equal(job.finished_at_ms, 0);
    assert_int_equal(newest(store, 8200, JOB_SNAPSHOT).job_id, job_id);
    assert_int_equal(newest(store, 8200, JOB_BACKUP).job_id, 0);
    assert_raw(EVENTS, "5000 snapshot ok job 1: begun: before -1");
}

static void test_begin_is_told_by_kind(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const struct job rollback = job_named(JOB_ROLLBACK, "before");
    int64_t job_id = add(store, &rollback, 5000);
    assert_raw(EVENTS, "5000 rollback ok job 1: begun: back to before; Proxmox stops the guest for "
                       "it and starts it again -1");
    OK(job_finish(store, job_id, true, NULL, 6000, &error));
    run_raw("DELETE FROM event");
    (void)add_backup(store, 8200);
    assert_raw(EVENTS, "5000 backup ok job 2: begun -1");
}

static void test_second_is_refused(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const struct job first = job_named(JOB_BACKUP, "");
    const struct job second = job_named(JOB_SNAPSHOT, "before");
    struct job_obstacle obstacle = {0};
    int64_t job_id = -1;
    (void)add(store, &first, 5000);
    FAILS(job_add(store, &second, NULL, 6000, &job_id, &obstacle, &error), ERROR_CONFLICT,
          "job 1 (backup) is running");
    assert_int_equal(job_id, -1);
    assert_int_equal(obstacle.running.job_id, 1);
    assert_int_equal(obstacle.running.kind, JOB_BACKUP);
    assert_raw("SELECT count(*) FROM job", "1");
    assert_raw("SELECT count(*) FROM event", "1");
}

/* --- limits --- */

static void end_jobs(struct store *store)
{
    OK(job_finish(store, unfinished(store, 8200).job_id, true, NULL, 1000000, &error));
}

/* Adds the job at that time; returns how long to wait otherwise. */
static int64_t add_within(struct store *store, const struct job *job, const struct job_limit *limit,
                          int64_t now_ms)
{
    struct job_obstacle obstacle = {0};
    struct job_obstacle same = {0};
    struct error problem;
    int64_t job_id = -1;
    const int checked = job_check(store, job, limit, now_ms, &same, &problem);
    const int added = job_add(store, job, limit, now_ms, &job_id, &obstacle, &error);
    assert_int_equal(checked, added);
    assert_int_equal(same.wait_ms, obstacle.wait_ms);
    assert_int_equal(same.outdated, obstacle.outdated);
    if (added == 0) {
        end_jobs(store);
        return 0;
    }
    assert_int_equal(error.kind, ERROR_CONFLICT);
    assert_string_equal(error.message, problem.message);
    return obstacle.outdated ? -1 : obstacle.wait_ms;
}

static void test_interval(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const struct job snapshot = job_named(JOB_SNAPSHOT, "one");
    const struct job backup = job_named(JOB_BACKUP, "");
    const struct job_limit limit = {.interval_ms = 60000, .seen = -1};
    put_guest(store, 8300);
    assert_int_equal(add_within(store, &snapshot, &limit, 100000), 0);
    assert_int_equal(add_within(store, &snapshot, &limit, 100000), 60000);
    assert_int_equal(add_within(store, &snapshot, &limit, 159999), 1);
    assert_string_equal(error.message, "job 1 (snapshot) was requested 59 seconds ago");
    assert_int_equal(add_within(store, &backup, &limit, 159999), 0); /* each kind by itself */
    assert_int_equal(add_within(store, &snapshot, &limit, 160000), 0);
    assert_int_equal(add_within(store, &snapshot, &limit, 1000), 0); /* the clock was set back */
    const struct job_limit none = {.interval_ms = 0, .seen = -1};
    assert_int_equal(add_within(store, &snapshot, &none, 1000), 0);
    assert_int_equal(add_within(store, &snapshot, NULL, 1000), 0);
}

/* Whatever becomes of a job, it counts. */
static void test_failed_jobs_count(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const struct job snapshot = job_named(JOB_SNAPSHOT, "one");
    const struct job_limit limit = {.interval_ms = 60000, .seen = -1};
    const int64_t first = add(store, &snapshot, 100000);
    OK(job_finish(store, first, false, "no space", 100500, &error));
    assert_int_equal(add_within(store, &snapshot, &limit, 101000), 59000);
}

static void test_a_backup_that_is_due_passes_once(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const struct job backup = job_named(JOB_BACKUP, "");
    struct job due = backup;
    struct job_limit limit = {.interval_ms = 600000, .backup_at_ms = 50000, .seen = -1};
    due.due = true;
    assert_int_equal(add_within(store, &backup, &limit, 100000), 0);
    assert_int_equal(add_within(store, &backup, &limit, 101000), 599000);
    assert_int_equal(add_within(store, &due, &limit, 101000), 0);
    assert_int_equal(add_within(store, &due, &limit, 102000), 599000); /* it has failed */
    assert_int_equal(add_within(store, &due, &limit, 701000), 0);      /* the interval is over */
    limit.backup_at_ms = 701001; /* a backup was made, and the next one is due */
    assert_int_equal(add_within(store, &due, &limit, 702000), 0);
    assert_int_equal(add_within(store, &due, &limit, 703000), 599000);
}

static void test_a_decision_that_is_outdated(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const struct job snapshot = job_named(JOB_SNAPSHOT, "one");
    const struct job backup = job_named(JOB_BACKUP, "");
    const struct job_limit first = {.seen = 0};
    const struct job_limit second = {.seen = 1};
    assert_int_equal(add_within(store, &snapshot, &first, 1000), 0);
    assert_int_equal(add_within(store, &backup, NULL, 1000), 0);
    assert_int_equal(add_within(store, &snapshot, &first, 2000), -1);
    assert_string_equal(error.message, "job 1 (snapshot) was requested meanwhile");
    assert_int_equal(add_within(store, &snapshot, &second, 2000), 0);
}

static void test_mark(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const struct job snapshot = job_named(JOB_SNAPSHOT, "one");
    struct job_mark mark;
    put_guest(store, 8300);
    (void)add_backup(store, 8300);
    OK(job_mark(store, 8200, &mark, &error));
    assert_int_equal(mark.newest, 0);
    assert_int_equal(mark.unfinished, 0);
    const int64_t job_id = add(store, &snapshot, 1000);
    OK(job_mark(store, 8200, &mark, &error));
    assert_int_equal(mark.newest, job_id);
    assert_int_equal(mark.unfinished, 1);
    end_jobs(store);
    OK(job_mark(store, 8200, &mark, &error));
    assert_int_equal(mark.newest, job_id);
    assert_int_equal(mark.unfinished, 0);
}

static void test_guests_do_not_hinder_each_other(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    put_guest(store, 8300);
    const int64_t first = add_backup(store, 8200);
    const int64_t second = add_backup(store, 8300);
    assert_int_equal(unfinished(store, 8200).job_id, first);
    assert_int_equal(unfinished(store, 8300).job_id, second);
}

static void test_unknown_guest(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    const struct job job = job_named(JOB_BACKUP, "");
    struct job_obstacle obstacle = {0};
    int64_t job_id = -1;
    FAILS(job_add(store, &job, NULL, 5000, &job_id, &obstacle, &error), ERROR_MISSING,
          "the store knows no such guest");
    assert_int_equal(job_id, -1);
    assert_int_equal(obstacle.running.job_id, 0);
    assert_raw("SELECT count(*) FROM event", "0");
}

static void test_guest_takes_its_jobs_along(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const struct backup backup = {.archive = "local:backup/x", .at_ms = 1};
    const int64_t job_id = add_backup(store, 8200);
    OK(backup_put(store, 8200, &backup, &error));
    OK(guest_remove(store, 8200, &error));
    assert_raw("SELECT (SELECT count(*) FROM job) + (SELECT count(*) FROM backup)", "0");
    FAILS(job_call(store, job_id, 6000, &error), ERROR_CONFLICT,
          "job 1 was called before, or is finished");
    OK(job_finish(store, job_id, true, NULL, 6000, &error));
    assert_raw("SELECT count(*) FROM event WHERE detail LIKE 'job%done'", "0");
}

static void test_called_once(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const int64_t job_id = add_backup(store, 8200);
    OK(job_call(store, job_id, 6000, &error));
    assert_int_equal(unfinished(store, 8200).called_at_ms, 6000);
    FAILS(job_call(store, job_id, 7000, &error), ERROR_CONFLICT,
          "job 1 was called before, or is finished");
    assert_int_equal(unfinished(store, 8200).called_at_ms, 6000);
    OK(job_uncall(store, job_id, &error));
    assert_int_equal(unfinished(store, 8200).called_at_ms, 0);
    OK(job_call(store, job_id, 8000, &error));
    assert_int_equal(unfinished(store, 8200).called_at_ms, 8000);
}

static void test_nothing_is_called_after_its_end(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const int64_t job_id = add_backup(store, 8200);
    OK(job_finish(store, job_id, false, "no", 6000, &error));
    FAILS(job_call(store, job_id, 7000, &error), ERROR_CONFLICT,
          "job 1 was called before, or is finished");
    FAILS(job_uncall(store, job_id, &error), ERROR_CONFLICT, "job 1 was begun, or is finished");
    FAILS(job_set_upid(store, job_id, UPID, &error), ERROR_CONFLICT,
          "job 1 cannot have this task: it has another one, or another job has it");
    assert_string_equal(newest(store, 8200, JOB_BACKUP).upid, "");
}

static void test_task(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const int64_t job_id = add_backup(store, 8200);
    OK(job_call(store, job_id, 6000, &error));
    OK(job_set_upid(store, job_id, UPID, &error));
    assert_string_equal(unfinished(store, 8200).upid, UPID);
    FAILS(job_set_upid(store, job_id, UPID, &error), ERROR_CONFLICT,
          "job 1 cannot have this task: it has another one, or another job has it");
    FAILS(job_uncall(store, job_id, &error), ERROR_CONFLICT, "job 1 was begun, or is finished");
    assert_int_equal(unfinished(store, 8200).called_at_ms, 6000);
}

static void test_task_of_one_job(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const int64_t first = add_backup(store, 8200);
    OK(job_set_upid(store, first, UPID, &error));
    OK(job_finish(store, first, true, NULL, 6000, &error));
    const int64_t second = add_backup(store, 8200);
    FAILS(job_set_upid(store, second, UPID, &error), ERROR_CONFLICT,
          "job 2 cannot have this task: it has another one, or another job has it");
    OK(job_set_upid(store, second, "UPID:other", &error));
}

static void assert_previous(struct store *store, const char *expected)
{
    const struct job job = unfinished(store, 8200);
    char upid[UPID_SIZE] = "untouched";
    OK(job_previous_upid(store, &job, upid, &error));
    assert_string_equal(upid, expected);
}

static void test_previous_task(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const struct job snapshot = job_named(JOB_SNAPSHOT, "a");
    put_guest(store, 8300);
    const int64_t other = add_backup(store, 8300);
    OK(job_set_upid(store, other, "UPID:of another guest", &error));
    const int64_t first = add_backup(store, 8200);
    assert_previous(store, "");
    OK(job_set_upid(store, first, "UPID:first", &error));
    assert_previous(store, ""); /* its own is not one before it */
    OK(job_finish(store, first, true, NULL, 6000, &error));
    const int64_t second = add(store, &snapshot, 7000);
    assert_previous(store, "UPID:first");
    OK(job_finish(store, second, false, "never had a task", 8000, &error));
    (void)add_backup(store, 8200);
    assert_previous(store, "UPID:first");
}

static void test_snapshotted(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const int64_t job_id = add_backup(store, 8200);
    OK(job_snapshotted(store, job_id, 6000, &error));
    assert_int_equal(unfinished(store, 8200).phase, JOB_SNAPSHOTTED);
    OK(job_snapshotted(store, job_id, 7000, &error));
    OK(job_finish(store, job_id, true, NULL, 8000, &error));
    OK(job_snapshotted(store, job_id, 9000, &error));
    assert_int_equal(newest(store, 8200, JOB_BACKUP).phase, JOB_DONE);
    assert_raw(EVENTS, "5000 backup ok job 1: begun -1; 6000 backup ok job 1: snapshotted -1; "
                       "8000 backup ok job 1: done 3000000");
}

static void test_ends(void **state)
{
    static const struct {
        bool succeeded;
        const char *problem;
        enum job_phase phase;
        const char *error;
        const char *event;
    } cases[] = {
        {true, NULL, JOB_DONE, "", "ok job 1: done"},
        {false, NULL, JOB_DONE, "", "ok job 1: done"},
        {true, "WARNINGS: 2", JOB_DONE, "WARNINGS: 2", "warning job 1: done: WARNINGS: 2"},
        {false, "no space", JOB_FAILED, "no space", "error job 1: failed: no space"},
    };
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        run_raw("DELETE FROM job; DELETE FROM sqlite_sequence WHERE name = 'job'");
        const int64_t job_id = add_backup(store, 8200);
        OK(job_finish(store, job_id, cases[i].succeeded, cases[i].problem, 7000, &error));
        const struct job job = newest(store, 8200, JOB_BACKUP);
        assert_int_equal(job.phase, cases[i].phase);
        assert_string_equal(job.error, cases[i].error);
        assert_int_equal(job.finished_at_ms, 7000);
        assert_int_equal(unfinished(store, 8200).job_id, 0);
        assert_raw("SELECT outcome || ' ' || detail FROM event ORDER BY seq DESC", cases[i].event);
    }
}

static void test_ends_once(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const int64_t job_id = add_backup(store, 8200);
    OK(job_finish(store, job_id, false, "no space", 7000, &error));
    OK(job_finish(store, job_id, true, NULL, 8000, &error));
    const struct job job = newest(store, 8200, JOB_BACKUP);
    assert_int_equal(job.phase, JOB_FAILED);
    assert_int_equal(job.finished_at_ms, 7000);
    assert_raw("SELECT count(*) FROM event", "2");
}

static void test_newest_of_its_kind(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const struct job snapshot = job_named(JOB_SNAPSHOT, "a");
    for (int i = 0; i < 2; i++)
        OK(job_finish(store, add_backup(store, 8200), true, NULL, 6000, &error));
    (void)add(store, &snapshot, 7000);
    assert_int_equal(newest(store, 8200, JOB_BACKUP).job_id, 2);
    assert_int_equal(newest(store, 8200, JOB_SNAPSHOT).job_id, 3);
    assert_int_equal(newest(store, 8200, JOB_ROLLBACK).job_id, 0);
}

static void test_old_ones_are_forgotten(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const struct job snapshot = job_named(JOB_SNAPSHOT, "a");
    OK(job_finish(store, add(store, &snapshot, 5000), true, NULL, 6000, &error));
    for (int i = 0; i < 102; i++)
        OK(job_finish(store, add_backup(store, 8200), true, NULL, 6000, &error));
    (void)add_backup(store, 8200);
    assert_raw("SELECT count(*) || ' ' || min(job_id) || ' ' || max(job_id) FROM job"
               " WHERE kind = 'backup'",
               "101 4 104");
    assert_raw("SELECT count(*) FROM job WHERE kind = 'snapshot'", "1");
}

/* --- all of them --- */

struct visits {
    int64_t job_ids[4];
    size_t count;
    size_t enough;
};

static int visit(const struct job *job, void *context)
{
    struct visits *visits = context;
    visits->job_ids[visits->count++] = job->job_id;
    return visits->count == visits->enough ? 7 : 0;
}

static void test_unfinished_ones(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    struct visits visits = {0};
    OK(job_each_unfinished(store, visit, &visits, &error));
    assert_int_equal(visits.count, 0);
    put_guest(store, 8300);
    put_guest(store, 8400);
    for (uint32_t vmid = 8400; vmid >= 8200; vmid -= 100)
        (void)add_backup(store, vmid);
    OK(job_finish(store, 2, true, NULL, 6000, &error));
    OK(job_snapshotted(store, 3, 6000, &error));
    OK(job_each_unfinished(store, visit, &visits, &error));
    assert_int_equal(visits.count, 2);
    assert_int_equal(visits.job_ids[0], 1);
    assert_int_equal(visits.job_ids[1], 3);
    visits = (struct visits){.enough = 1};
    assert_int_equal(job_each_unfinished(store, visit, &visits, &error), 7);
    assert_int_equal(visits.count, 1);
}

/* --- newest backups --- */

static struct backup get_backup(struct store *store, uint32_t vmid)
{
    struct backup backup;
    memset(&backup, 0xEE, sizeof backup);
    OK(backup_get(store, vmid, &backup, &error));
    return backup;
}

static void test_backups(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    struct backup backup = {.archive = "local:backup/a", .size_bytes = 12, .at_ms = 5000};
    assert_string_equal(get_backup(store, 8200).archive, "");
    assert_int_equal(get_backup(store, 8200).size_bytes, -1);
    assert_int_equal(get_backup(store, 8200).at_ms, 0);
    OK(backup_put(store, 8200, &backup, &error));
    OK(backup_put(store, 8200, &backup, &error));
    assert_string_equal(get_backup(store, 8200).archive, "local:backup/a");
    assert_int_equal(get_backup(store, 8200).size_bytes, 12);
    assert_int_equal(get_backup(store, 8200).at_ms, 5000);
    backup = (struct backup){.archive = "local:backup/b", .size_bytes = -1, .at_ms = 4000};
    OK(backup_put(store, 8200, &backup, &error));
    assert_raw("SELECT archive || size_bytes || at_ms FROM backup", "local:backup/b-14000");
    backup.archive[0] = '\0';
    OK(backup_put(store, 8200, &backup, &error));
    OK(backup_put(store, 8200, &backup, &error));
    assert_raw("SELECT count(*) FROM backup", "0");
}

static void test_backup_of_unknown_guest(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    const struct backup backup = {.archive = "local:backup/a"};
    FAILS(backup_put(store, 8200, &backup, &error), ERROR_MISSING, "the store knows no such guest");
}

/* --- a spoilt store --- */

static void test_no_table(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const struct job job = job_named(JOB_BACKUP, "");
    const struct backup backup = {.archive = "local:backup/a"};
    struct backup got_backup;
    struct job_obstacle obstacle;
    struct job_mark mark;
    struct job got;
    struct visits visits = {0};
    char upid[UPID_SIZE];
    int64_t job_id = -1;
    run_raw("DROP TABLE job; DROP TABLE backup");
    assert_int_equal(job_add(store, &job, NULL, 5000, &job_id, &obstacle, &error), -1);
    assert_int_equal(job_mark(store, 8200, &mark, &error), -1);
    assert_int_equal(job_call(store, 1, 5000, &error), -1);
    assert_int_equal(job_uncall(store, 1, &error), -1);
    assert_int_equal(job_set_upid(store, 1, UPID, &error), -1);
    assert_int_equal(job_previous_upid(store, &job, upid, &error), -1);
    assert_int_equal(job_snapshotted(store, 1, 5000, &error), -1);
    assert_int_equal(job_finish(store, 1, true, NULL, 5000, &error), -1);
    assert_int_equal(job_each_unfinished(store, visit, &visits, &error), -1);
    assert_int_equal(job_newest(store, 8200, JOB_BACKUP, &got, &error), -1);
    assert_int_equal(job_unfinished(store, 8200, &got, &error), -1);
    assert_int_equal(backup_put(store, 8200, &backup, &error), -1);
    assert_int_equal(backup_get(store, 8200, &got_backup, &error), -1);
    assert_int_equal(job_id, -1);
}

/* A change and its event are in one transaction. */
static void test_no_event_no_change(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guest();
    const struct job job = job_named(JOB_BACKUP, "");
    struct job_obstacle obstacle;
    int64_t job_id = add_backup(store, 8200);
    run_raw("DROP TABLE event");
    assert_int_equal(job_snapshotted(store, job_id, 6000, &error), -1);
    assert_int_equal(job_finish(store, job_id, true, NULL, 6000, &error), -1);
    assert_raw("SELECT phase || ' ' || (finished_at_ms IS NULL) FROM job", "running 1");
    run_raw("DELETE FROM job");
    assert_int_equal(job_add(store, &job, NULL, 5000, &job_id, &obstacle, &error), -1);
    assert_raw("SELECT count(*) FROM job", "0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        store_test(test_none),
        store_test(test_added),
        store_test(test_begin_is_told_by_kind),
        store_test(test_second_is_refused),
        store_test(test_interval),
        store_test(test_failed_jobs_count),
        store_test(test_a_backup_that_is_due_passes_once),
        store_test(test_a_decision_that_is_outdated),
        store_test(test_mark),
        store_test(test_guests_do_not_hinder_each_other),
        store_test(test_unknown_guest),
        store_test(test_guest_takes_its_jobs_along),
        store_test(test_called_once),
        store_test(test_nothing_is_called_after_its_end),
        store_test(test_task),
        store_test(test_task_of_one_job),
        store_test(test_previous_task),
        store_test(test_snapshotted),
        store_test(test_ends),
        store_test(test_ends_once),
        store_test(test_newest_of_its_kind),
        store_test(test_old_ones_are_forgotten),
        store_test(test_unfinished_ones),
        store_test(test_backups),
        store_test(test_backup_of_unknown_guest),
        store_test(test_no_table),
        store_test(test_no_event_no_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
