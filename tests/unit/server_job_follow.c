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

/* --- after a rollback the guest has to start --- */

static struct start_world {
    uint32_t vmid;
    const char *task_type;
} const starts[] = {{8200, "vz"}, {8203, "qm"}};

/* A rollback whose task has ended well. start: the task of this type that Proxmox has begun for the
 * start, whose state is the JSON text more; NULL: none. */
static void set_rolled_back(const struct start_world *which, const char *exitstatus,
                            const char *start, const char *more)
{
    const struct job job = unfinished(which->vmid);
    cleanup_free char *line =
        mem_format("{\"upid\": \"%s\", \"node\": \"pve\", \"type\": \"%srollback\", \"id\": \"%u\","
                   " \"user\": \"" USER "\", \"begun_at\": 1, \"starttime\": 17, \"steps\": [],"
                   " \"step\": 0, \"log\": [], \"exitstatus\": \"%s\", \"endtime\": 18}",
                   job.upid, which->task_type, which->vmid, exitstatus);
    cleanup_free char *begun =
        mem_format(", {\"upid\": \"UPID:pve:00004712:12345678:00000012:%s:%u:" USER ":\","
                   " \"node\": \"pve\", \"type\": \"%s\", \"id\": \"%u\", \"user\": \"" USER
                   "\", \"begun_at\": 1, \"starttime\": 18, \"steps\": [], \"step\": 0,"
                   " \"log\": []%s}",
                   start ? start : "", which->vmid, start ? start : "", which->vmid, more);
    cleanup_free char *text = mem_format("[%s%s]", line, start ? begun : "");
    standin_write("tasks.json", text);
}

#define RUNNING      ""
#define ENDED(words) ", \"exitstatus\": \"" words "\", \"endtime\": 19"

static void set_runs(const struct start_world *which, bool runs)
{
    cleanup_free char *text =
        mem_format("{\"%u\": {\"type\": \"%s\", \"running\": %s}}", which->vmid,
                   which->vmid == 8203 ? "qemu" : "lxc", runs ? "true" : "false");
    standin_write("guests.json", text);
}

static void add_rollback(const struct start_world *which)
{
    cleanup_free char *upid =
        mem_format("UPID:pve:00004711:12345678:00000011:%srollback:%u:" USER ":", which->task_type,
                   which->vmid);
    memory = (struct job_memory){0};
    run_raw("DELETE FROM job");
    const int64_t job_id = add_job(which->vmid, JOB_ROLLBACK, "one");
    make_called(job_id);
    OK(job_set_upid(store, job_id, upid, &error));
    set_runs(which, false);
}

static void test_rollback_ends_with_the_start(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
        cleanup_free char *type = mem_format("%sstart", starts[i].task_type);
        add_rollback(&starts[i]);
        set_rolled_back(&starts[i], "OK", type, RUNNING);
        assert_seconds(step(starts[i].vmid), 1);
        set_runs(&starts[i], true); /* it counts as running long before it has started */
        assert_seconds(step(starts[i].vmid), 1);
        memory = (struct job_memory){0}; /* felhomd was restarted */
        assert_seconds(step(starts[i].vmid), 1);
        set_rolled_back(&starts[i], "OK", type, ENDED("OK"));
        assert_seconds(step(starts[i].vmid), -1);
        assert_end(starts[i].vmid, "done ");
    }
}

static void test_rolled_back_but_not_started(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
        cleanup_free char *type = mem_format("%sstart", starts[i].task_type);
        add_rollback(&starts[i]);
        set_rolled_back(&starts[i], "OK", type, ENDED("startup for it failed"));
        assert_seconds(step(starts[i].vmid), -1);
        assert_end(starts[i].vmid, "failed rolled back, but did not start: startup for it failed");
    }
}

static void test_warnings_of_rollback_and_start(void **state)
{
    (void)state;
    static const char *const statuses[][3] = {
        {"WARNINGS: 1", ENDED("OK"), "done WARNINGS: 1"},
        {"OK", ENDED("WARNINGS: 2"), "done WARNINGS: 2"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
        add_rollback(&starts[0]);
        set_rolled_back(&starts[0], statuses[i][0], "vzstart", statuses[i][1]);
        assert_seconds(step(8200), -1);
        assert_end(8200, statuses[i][2]);
    }
}

static void test_rolled_back_to_a_running_machine(void **state)
{
    (void)state;
    add_rollback(&starts[1]);
    set_runs(&starts[1], true);
    set_rolled_back(&starts[1], "OK", NULL, "");
    assert_seconds(step(8203), 1); /* the task may not be listed yet */
    assert_asked("/status/current", 0);
    memory.start_awaited_since_us -= 3 * SECOND_US;
    assert_seconds(step(8203), -1);
    assert_end(8203, "done ");
}

static void test_nobody_starts_it(void **state)
{
    (void)state;
    add_rollback(&starts[0]);
    set_rolled_back(&starts[0], "OK", NULL, "");
    assert_seconds(step(8200), 1);
    memory.start_awaited_since_us -= 59 * SECOND_US;
    assert_seconds(step(8200), 1);
    memory.start_awaited_since_us -= SECOND_US;
    assert_seconds(step(8200), -1);
    assert_end(8200, "failed rolled back, but did not start: Proxmox has not begun to, and it does "
                     "not run");
}

static void test_high_availability_starts_it(void **state)
{
    (void)state;
    add_rollback(&starts[0]);
    set_rolled_back(&starts[0], "OK", "hastart", RUNNING);
    assert_seconds(step(8200), 1);
    assert_asked("/status/current", 0);
    set_rolled_back(&starts[0], "OK", "hastart", ENDED("OK"));
    assert_seconds(step(8200), 1);
    memory.start_awaited_since_us -= 299 * SECOND_US;
    assert_seconds(step(8200), 1);
    set_runs(&starts[0], true);
    assert_seconds(step(8200), -1);
    assert_end(8200, "done ");
    add_rollback(&starts[0]);
    set_rolled_back(&starts[0], "OK", "hastart", ENDED("OK"));
    assert_seconds(step(8200), 1);
    memory.start_awaited_since_us -= 300 * SECOND_US;
    assert_seconds(step(8200), -1);
    assert_end(8200, "failed rolled back, but did not start: high availability was asked to start "
                     "it, but it does not run");
}

static void test_silent_about_the_start(void **state)
{
    (void)state;
    add_rollback(&starts[0]);
    set_rolled_back(&starts[0], "OK", "vzstart", RUNNING);
    control("{\"status\": 500, \"only\": \"vzstart\"}");
    assert_seconds(step(8200), 1);
    assert_seconds(step(8200), 2);
    assert_seconds(step(8200),
                   4); /* that the rollback's own task is known does not begin it anew */
    control("{}");
    assert_seconds(step(8200), 1);
    set_rolled_back(&starts[0], "OK", NULL, "");
    memory.start_awaited_since_us = clock_steady_us() - 3 * SECOND_US;
    control("{\"status\": 500, \"only\": \"/status/current\"}");
    assert_seconds(step(8200), 1);
    assert_seconds(step(8200), 2);
    control("{}");
    set_runs(&starts[0], true);
    assert_seconds(step(8200), -1);
    assert_end(8200, "done ");
}

static void test_a_rollback_that_fails(void **state)
{
    (void)state;
    add_rollback(&starts[0]);
    set_rolled_back(&starts[0], "snapshot 'one' does not exist", NULL, "");
    assert_seconds(step(8200), -1);
    assert_end(8200, "failed snapshot 'one' does not exist");
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
        job_test(test_rollback_ends_with_the_start),
        job_test(test_rolled_back_but_not_started),
        job_test(test_warnings_of_rollback_and_start),
        job_test(test_rolled_back_to_a_running_machine),
        job_test(test_nobody_starts_it),
        job_test(test_high_availability_starts_it),
        job_test(test_silent_about_the_start),
        job_test(test_a_rollback_that_fails),
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
