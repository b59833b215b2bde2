/* SPDX-License-Identifier: Apache-2.0 */
/* Following a job's task to its end. */
#include "store/base/nudge.h"
#include "tests/unit/test.h"

#include "tests/unit/job_world.h"

#define SNAPSHOT_MODE \
    "\"INFO: backup mode: snapshot\", \"INFO: create storage snapshot 'vzdump'\"," \
    " \"INFO: creating vzdump archive 'x.tar.zst'\""

static char task[UPID_SIZE];

/* A job whose task Proxmox has or had. */
static void add_followed(enum job_kind kind)
{
    const int64_t job_id = add_job(8200, kind, kind == JOB_BACKUP ? "" : "one");
    make_called(job_id);
    write_task(kind == JOB_BACKUP ? "vzdump" : "vzsnapshot", 8200, 0, task);
    OK(job_set_upid(store, job_id, task, &error));
}

/* Sets the task's state; exitstatus NULL: it is running. lines: JSON texts. */
static void set_task(const char *lines, const char *exitstatus)
{
    cleanup_free char *end =
        exitstatus ? mem_format(", \"exitstatus\": \"%s\", \"endtime\": 1", exitstatus)
                   : mem_copy_text("");
    cleanup_free char *text =
        mem_format("[{\"upid\": \"%s\", \"node\": \"pve\", \"type\": \"vzdump\", \"id\": \"8200\","
                   " \"user\": \"" USER "\", \"begun_at\": 1, \"starttime\": 1, \"steps\": [],"
                   " \"step\": 0, \"log\": [%s]%s}]",
                   task, lines, end);
    standin_write("tasks.json", text);
}

static void write_archive(void)
{
    standin_write("content.json",
                  "{\"local\": [{\"volid\": \"local:backup/a.tar.zst\", \"ctime\": 1795428000,"
                  " \"size\": 12, \"format\": \"tar.zst\", \"content\": \"backup\","
                  " \"vmid\": 8200, \"subtype\": \"lxc\"}]}");
}

/* --- good ends --- */

static void test_runs_and_ends(void **state)
{
    (void)state;
    add_followed(JOB_SNAPSHOT);
    set_task("", NULL);
    assert_seconds(step(8200), 1);
    assert_seconds(step(8200), 1);
    set_task("\"TASK OK\"", "OK");
    assert_seconds(step(8200), -1);
    assert_end(8200, "done ");
    assert_asked("/log\"", 0); /* nothing in it matters */
    assert_asked("/content\"", 0);
}

static void test_backup_is_known_when_it_is_done(void **state)
{
    (void)state;
    add_followed(JOB_BACKUP);
    write_archive();
    set_task("", NULL);
    assert_seconds(step(8200), 1);
    assert_raw("SELECT count(*) FROM backup", "0");
    set_task("\"TASK OK\"", "OK");
    assert_seconds(step(8200), -1);
    assert_end(8200, "done ");
    assert_raw("SELECT archive || ' ' || size_bytes || ' ' || at_ms FROM backup",
               "local:backup/a.tar.zst 12 1795428000000");
}

static void test_done_though_its_archive_cannot_be_seen(void **state)
{
    (void)state;
    add_followed(JOB_BACKUP);
    control("{\"status\": 500, \"reason\": \"no\", \"only\": \"/content\"}");
    set_task("\"TASK OK\"", "OK");
    assert_seconds(step(8200), -1);
    assert_end(8200, "done ");
    assert_raw("SELECT count(*) FROM backup", "0");
}

static void test_warnings_are_kept(void **state)
{
    (void)state;
    add_followed(JOB_SNAPSHOT);
    set_task("", "WARNINGS: 3");
    assert_seconds(step(8200), -1);
    assert_end(8200, "done WARNINGS: 3");
    assert_events("ok job 1: begun: one; warning job 1: done: WARNINGS: 3");
}

/* --- bad ends --- */

static void test_fails_with_the_exit_status(void **state)
{
    (void)state;
    add_followed(JOB_SNAPSHOT);
    set_task("", "snapshot feature is not available");
    assert_seconds(step(8200), -1);
    assert_end(8200, "failed snapshot feature is not available");
}

static void test_backup_fails_with_the_logs_reason(void **state)
{
    (void)state;
    add_followed(JOB_BACKUP);
    set_task(SNAPSHOT_MODE ", \"ERROR: Backup of VM 8200 failed - no space left\"", "job errors");
    assert_seconds(step(8200), -1);
    assert_end(8200, "failed no space left");
    assert_events("ok job 1: begun; ok job 1: snapshotted; error job 1: failed: no space left");
}

static void test_backup_fails_without_one(void **state)
{
    (void)state;
    add_followed(JOB_BACKUP);
    set_task("", "unexpected status");
    assert_seconds(step(8200), -1);
    assert_end(8200, "failed unexpected status");
    assert_raw("SELECT count(*) FROM backup", "0");
}

/* --- snapshotted --- */

static void test_snapshotted(void **state)
{
    (void)state;
    add_followed(JOB_BACKUP);
    set_task("\"INFO: backup mode: snapshot\", \"INFO: create storage snapshot 'vzdump'\"", NULL);
    assert_seconds(step(8200), 1);
    assert_int_equal(unfinished(8200).phase, JOB_RUNNING);
    set_task(SNAPSHOT_MODE, NULL);
    assert_seconds(step(8200), 1);
    assert_int_equal(unfinished(8200).phase, JOB_SNAPSHOTTED);
    assert_seconds(step(8200), 1);
    set_task(SNAPSHOT_MODE ", \"TASK OK\"", "OK");
    assert_seconds(step(8200), -1);
    assert_events("ok job 1: begun; ok job 1: snapshotted; ok job 1: done");
}

static void test_the_log_is_read_on(void **state)
{
    (void)state;
    add_followed(JOB_BACKUP);
    set_task("\"INFO: backup mode: snapshot\"", NULL);
    assert_seconds(step(8200), 1);
    assert_int_equal(memory.lines, 1);
    set_task("\"INFO: backup mode: stop\", \"INFO: create storage snapshot 'vzdump'\","
             " \"INFO: creating vzdump archive 'x.tar.zst'\"",
             NULL);
    assert_seconds(step(8200), 1); /* what it has read is not read again */
    assert_int_equal(unfinished(8200).phase, JOB_SNAPSHOTTED);
    assert_asked("\"start\": \"1\"", 1);
}

static void test_after_a_restart_it_is_read_from_its_begin(void **state)
{
    (void)state;
    add_followed(JOB_BACKUP);
    set_task(SNAPSHOT_MODE, NULL);
    assert_seconds(step(8200), 1);
    memory = (struct job_memory){0};
    assert_seconds(step(8200), 1);
    assert_true(memory.log.snapshotted);
    assert_events("ok job 1: begun; ok job 1: snapshotted");
}

static void test_never_in_another_mode(void **state)
{
    (void)state;
    add_followed(JOB_BACKUP);
    set_task("\"INFO: backup mode: suspend\", \"INFO: creating vzdump archive 'x'\"", "OK");
    assert_seconds(step(8200), -1);
    assert_events("ok job 1: begun; ok job 1: done");
}

static void test_a_long_log(void **state)
{
    (void)state;
    cleanup_buffer struct buffer lines = BUFFER_EMPTY;
    add_followed(JOB_BACKUP);
    for (int i = 0; i < 1000; i++)
        buffer_add_format(&lines, "\"INFO: line %d\", ", i);
    buffer_add_text(&lines, SNAPSHOT_MODE);
    set_task(buffer_text(&lines), NULL);
    assert_seconds(step(8200), 1);
    assert_int_equal(memory.lines, 1003);
    assert_int_equal(unfinished(8200).phase, JOB_SNAPSHOTTED);
    assert_asked("/log\"", 3);
}

/* --- Proxmox does not tell --- */

static void test_lost_task(void **state)
{
    (void)state;
    add_followed(JOB_BACKUP);
    standin_write("tasks.json", "[]");
    assert_seconds(step(8200), 1);
    memory.missing_since_us -= 29 * SECOND_US;
    assert_seconds(step(8200), 1);
    memory.missing_since_us -= SECOND_US;
    assert_seconds(step(8200), -1);
    assert_end(8200, "failed Proxmox does not know the task any more: nobody knows how it ended");
}

static void test_lost_for_a_moment(void **state)
{
    (void)state;
    add_followed(JOB_SNAPSHOT);
    standin_write("tasks.json", "[]");
    assert_seconds(step(8200), 1);
    memory.missing_since_us -= 29 * SECOND_US;
    set_task("", NULL);
    assert_seconds(step(8200), 1);
    assert_int_equal(memory.missing_since_us, 0);
    set_task("", "OK");
    assert_seconds(step(8200), -1);
    assert_end(8200, "done ");
}

static void test_silent_proxmox(void **state)
{
    static const double waits[] = {1, 2, 4, 8, 16, 30, 30};
    (void)state;
    add_followed(JOB_SNAPSHOT);
    standin_stop();
    for (size_t i = 0; i < ARRAY_SIZE(waits); i++)
        assert_seconds(step(8200), waits[i]);
    memory.silent_since_us -= 23 * 3600 * SECOND_US;
    assert_seconds(step(8200), 30);
    standin_start("proxmox");
    assert_seconds(step(8200), -1);
    assert_end(8200, "done ");
}

static void test_silent_for_a_day(void **state)
{
    (void)state;
    add_followed(JOB_SNAPSHOT);
    control("{\"status\": 403, \"reason\": \"Permission check failed\"}");
    assert_seconds(step(8200), 1);
    memory.silent_since_us -= 24 * 3600 * SECOND_US;
    assert_seconds(step(8200), -1);
    assert_end(8200, "failed Proxmox has not said for a day how it went: Proxmox: 403 Permission "
                     "check failed");
}

static void test_silent_log(void **state)
{
    (void)state;
    add_followed(JOB_BACKUP);
    set_task(SNAPSHOT_MODE, "OK");
    control("{\"drop\": true, \"only\": \"/log\"}");
    assert_seconds(step(8200), 1);
    assert_seconds(step(8200), 2);
    control("{}");
    assert_seconds(step(8200), -1);
    assert_events("ok job 1: begun; ok job 1: snapshotted; ok job 1: done");
}

/* --- the store --- */

static void test_those_who_wait_are_told(void **state)
{
    (void)state;
    cleanup_close int fd = -1;
    add_followed(JOB_BACKUP);
    OK(nudge_listen(in_scratch("state"), &fd, &error));
    set_task("", NULL);
    assert_seconds(step(8200), 1);
    assert_false(nudge_receive(fd));
    set_task(SNAPSHOT_MODE, NULL);
    assert_seconds(step(8200), 1);
    assert_true(nudge_receive(fd));
    assert_seconds(step(8200), 1);
    assert_false(nudge_receive(fd));
    set_task(SNAPSHOT_MODE, "OK");
    assert_seconds(step(8200), -1);
    assert_true(nudge_receive(fd));
}

static void test_told_when_the_store_is_back(void **state)
{
    (void)state;
    add_followed(JOB_BACKUP);
    set_task(SNAPSHOT_MODE, NULL);
    run_raw("ALTER TABLE event RENAME TO away");
    assert_seconds(step(8200), 5);
    run_raw("ALTER TABLE away RENAME TO event");
    assert_seconds(step(8200), 1);
    assert_int_equal(unfinished(8200).phase, JOB_SNAPSHOTTED);
    run_raw("ALTER TABLE event RENAME TO away");
    set_task(SNAPSHOT_MODE, "OK");
    assert_seconds(step(8200), 5);
    set_task(SNAPSHOT_MODE, "no");
    assert_seconds(step(8200), 5);
    run_raw("ALTER TABLE away RENAME TO event");
    assert_seconds(step(8200), -1);
    assert_end(8200, "failed no");
}

/* The result of a task is unknown while felhomd stops. */
static void test_stopping(void **state)
{
    (void)state;
    add_followed(JOB_BACKUP);
    atomic_store(&stopping, true);
    assert_seconds(step(8200), 1);
    assert_int_equal(unfinished(8200).phase, JOB_RUNNING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        job_test(test_runs_and_ends),
        job_test(test_backup_is_known_when_it_is_done),
        job_test(test_done_though_its_archive_cannot_be_seen),
        job_test(test_warnings_are_kept),
        job_test(test_fails_with_the_exit_status),
        job_test(test_backup_fails_with_the_logs_reason),
        job_test(test_backup_fails_without_one),
        job_test(test_snapshotted),
        job_test(test_the_log_is_read_on),
        job_test(test_after_a_restart_it_is_read_from_its_begin),
        job_test(test_never_in_another_mode),
        job_test(test_a_long_log),
        job_test(test_lost_task),
        job_test(test_lost_for_a_moment),
        job_test(test_silent_proxmox),
        job_test(test_silent_for_a_day),
        job_test(test_silent_log),
        job_test(test_those_who_wait_are_told),
        job_test(test_told_when_the_store_is_back),
        job_test(test_stopping),
    };
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
