/* SPDX-License-Identifier: Apache-2.0 */
/* Looking for a job's task among Proxmox's. */
#include "tests/unit/test.h"

#include "tests/unit/job_world.h"

#define NOBODY_KNOWS \
    "failed nobody knows whether Proxmox has begun it: its answer did not come, and there is no " \
    "such task"

static char task[UPID_SIZE];

static int64_t add_called(uint32_t vmid, enum job_kind kind)
{
    const int64_t job_id = add_job(vmid, kind, kind == JOB_BACKUP ? "" : "before");
    make_called(job_id);
    return job_id;
}

static void assert_not_found(void)
{
    assert_seconds(step(8200), 1);
    assert_string_equal(unfinished(8200).upid, "");
}

static void test_found_by_its_type(void **state)
{
    static const struct {
        uint32_t vmid;
        enum job_kind kind;
        const char *type;
    } cases[] = {
        {8200, JOB_SNAPSHOT, "vzsnapshot"}, {8203, JOB_SNAPSHOT, "qmsnapshot"},
        {8200, JOB_ROLLBACK, "vzrollback"}, {8203, JOB_ROLLBACK, "qmrollback"},
        {8200, JOB_BACKUP, "vzdump"},       {8203, JOB_BACKUP, "vzdump"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        run_raw("DELETE FROM job");
        memory = (struct job_memory){0};
        (void)add_called(cases[i].vmid, cases[i].kind);
        write_task(cases[i].type, cases[i].vmid, 0, task);
        assert_seconds(step(cases[i].vmid), 0);
        assert_string_equal(unfinished(cases[i].vmid).upid, task);
        if (cases[i].kind == JOB_ROLLBACK) { /* which also waits for the guest's start */
            assert_seconds(step(cases[i].vmid), 1);
            memory.start_awaited_since_us -= 3 * SECOND_US;
        }
        assert_seconds(step(cases[i].vmid), -1);
        assert_end(cases[i].vmid, "done ");
    }
    assert_asked("\"method\": \"POST\"", 0);
}

static void test_not_another_type(void **state)
{
    (void)state;
    (void)add_called(8200, JOB_SNAPSHOT);
    write_task("vzdump", 8200, 0, task);
    assert_not_found();
    write_task("vzsnapshot", 8203, 0, task);
    assert_not_found();
}

/* The second of the call may have ended when the task began, on a clock that is a tick behind. */
static void test_not_an_earlier_one(void **state)
{
    (void)state;
    (void)add_called(8200, JOB_BACKUP);
    write_task("vzdump", 8200, 4, task);
    assert_not_found();
    run_raw("UPDATE job SET called_at_ms = called_at_ms + 2000");
    write_task("vzdump", 8200, 0, task);
    assert_seconds(step(8200), 0);
}

static void test_not_the_job_befores(void **state)
{
    (void)state;
    const int64_t first = add_job(8200, JOB_BACKUP, "");
    write_task("vzdump", 8200, 0, task);
    OK(job_set_upid(store, first, task, &error));
    OK(job_finish(store, first, true, NULL, clock_wall_ms(), &error));
    (void)add_called(8200, JOB_BACKUP);
    assert_not_found();
    assert_asked("\"since\": \"", 1);
    struct upid previous;
    assert_true(upid_parse(task, &previous));
    cleanup_free char *since =
        mem_format("\"since\": \"%lld\"", (long long)previous.started_at + 1);
    assert_asked(since, 1);
}

/* As after the clock was set back between two jobs. */
static void test_not_one_that_an_older_job_had(void **state)
{
    (void)state;
    char earlier[UPID_SIZE];
    const int64_t first = add_job(8200, JOB_BACKUP, "");
    write_task("vzdump", 8200, 1000, earlier);
    write_task("vzdump", 8200, 0, task);
    OK(job_set_upid(store, first, task, &error));
    OK(job_finish(store, first, true, NULL, clock_wall_ms(), &error));
    const int64_t second = add_job(8200, JOB_BACKUP, "");
    OK(job_set_upid(store, second, earlier, &error));
    OK(job_finish(store, second, true, NULL, clock_wall_ms(), &error));
    (void)add_called(8200, JOB_BACKUP);
    assert_not_found();
    memory.missing_since_us -= 60 * SECOND_US;
    assert_seconds(step(8200), -1);
    assert_end(8200, NOBODY_KNOWS);
}

/* --- there is none --- */

static void test_none_is_no_proof_at_once(void **state)
{
    (void)state;
    (void)add_called(8200, JOB_BACKUP);
    assert_not_found();
    assert_not_found();
    memory.missing_since_us -= 59 * SECOND_US;
    assert_not_found();
    memory.missing_since_us -= SECOND_US;
    assert_seconds(step(8200), -1);
    assert_end(8200, NOBODY_KNOWS);
    assert_events("ok job 1: begun; error job 1: failed: nobody knows whether Proxmox has "
                  "begun it: its answer did not come, and there is no such task");
    assert_asked("\"method\": \"POST\"", 0);
}

static void test_one_that_shows_late(void **state)
{
    (void)state;
    (void)add_called(8200, JOB_BACKUP);
    assert_not_found();
    write_task("vzdump", 8200, 0, task);
    assert_seconds(step(8200), 0);
    assert_int_equal(memory.missing_since_us, 0);
}

static void test_refused_ones_are_looked_for_shortly(void **state)
{
    (void)state;
    (void)add_called(8200, JOB_BACKUP);
    memory.problem = (struct error){ERROR_CONFLICT, "Proxmox: 500 no"};
    assert_not_found();
    memory.missing_since_us -= 2 * SECOND_US;
    assert_not_found();
    memory.missing_since_us -= SECOND_US;
    assert_seconds(step(8200), -1);
    assert_end(8200, "failed Proxmox: 500 no");
}

/* --- Proxmox does not answer --- */

static void test_silence_proves_nothing(void **state)
{
    static const double waits[] = {1, 2, 4, 8, 16, 30, 30};
    (void)state;
    (void)add_called(8200, JOB_BACKUP);
    control("{\"drop\": true}");
    for (size_t i = 0; i < ARRAY_SIZE(waits); i++)
        assert_seconds(step(8200), waits[i]);
    assert_int_equal(memory.missing_since_us, 0);
    control("{}");
    assert_not_found();
    assert_int_equal(memory.failures, 0);
}

static void test_silence_for_a_day(void **state)
{
    (void)state;
    (void)add_called(8200, JOB_BACKUP);
    control("{\"status\": 503, \"reason\": \"away\"}");
    assert_seconds(step(8200), 1);
    memory.silent_since_us -= 24 * 3600 * SECOND_US;
    assert_seconds(step(8200), -1);
    assert_end(8200, "failed Proxmox has not said for a day how it went: Proxmox: 503 away");
}

/* --- the store --- */

static void test_nothing_is_lost_without_a_store(void **state)
{
    (void)state;
    (void)add_called(8200, JOB_BACKUP);
    const struct job job = unfinished(8200);
    run_raw("DROP TABLE job");
    assert_int_equal(job_step(&world, &job, &memory), 5 * SECOND_US);
    run_raw("DROP TABLE guest");
    assert_int_equal(job_step(&world, &job, &memory), 5 * SECOND_US);
    assert_asked("\"path\"", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        job_test(test_found_by_its_type),
        job_test(test_not_another_type),
        job_test(test_not_an_earlier_one),
        job_test(test_not_the_job_befores),
        job_test(test_not_one_that_an_older_job_had),
        job_test(test_none_is_no_proof_at_once),
        job_test(test_one_that_shows_late),
        job_test(test_refused_ones_are_looked_for_shortly),
        job_test(test_silence_proves_nothing),
        job_test(test_silence_for_a_day),
        job_test(test_nothing_is_lost_without_a_store),
    };
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
