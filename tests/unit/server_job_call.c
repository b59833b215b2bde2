/* SPDX-License-Identifier: Apache-2.0 */
/* Having Proxmox start a job at most once. */
#include "tests/unit/test.h"

#include "tests/unit/job_world.h"

static void assert_called(bool is_called)
{
    assert_int_equal(unfinished(8200).called_at_ms != 0, is_called);
    assert_string_equal(unfinished(8200).upid, "");
}

static void age_job(int64_t age_ms)
{
    cleanup_free char *sql =
        mem_format("UPDATE job SET created_at_ms = %lld", (long long)(clock_wall_ms() - age_ms));
    run_raw(sql);
}

static void test_begins(void **state)
{
    static const struct {
        uint32_t vmid;
        enum job_kind kind;
        const char *path;
        const char *body;
    } cases[] = {
        {8200, JOB_SNAPSHOT, "/nodes/pve/lxc/8200/snapshot\"", "\"snapname=one\""},
        {8203, JOB_SNAPSHOT, "/nodes/pve/qemu/8203/snapshot\"", "\"snapname=one\""},
        {8200, JOB_ROLLBACK, "/nodes/pve/lxc/8200/snapshot/one/rollback\"", "\"start=1\""},
        {8203, JOB_ROLLBACK, "/nodes/pve/qemu/8203/snapshot/one/rollback\"", "\"start=1\""},
        {8200, JOB_BACKUP, "/nodes/pve/vzdump\"",
         "\"vmid=8200&storage=local&mode=snapshot&compress=zstd\""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct upid upid;
        run_raw("DELETE FROM job");
        standin_write("requests.jsonl", "");
        (void)add_job(cases[i].vmid, cases[i].kind, cases[i].kind == JOB_BACKUP ? "" : "one");
        assert_seconds(step(cases[i].vmid), 1);
        const struct job job = unfinished(cases[i].vmid);
        assert_true(upid_parse(job.upid, &upid));
        assert_int_not_equal(job.called_at_ms, 0);
        assert_asked("\"method\": \"POST\"", 1);
        assert_asked(cases[i].path, 1);
        assert_asked(cases[i].body, 1);
    }
}

static void test_description_is_passed_on(void **state)
{
    (void)state;
    struct job_obstacle running;
    int64_t job_id;
    const struct job job = {
        .vmid = 8200, .kind = JOB_SNAPSHOT, .name = "one", .description = "a&b"};
    OK(job_add(store, &job, NULL, clock_wall_ms(), &job_id, &running, &error));
    assert_seconds(step(8200), 1);
    assert_asked("\"snapname=one&description=a%26b\"", 1);
}

/* --- a rollback stops who asked for it --- */

static void test_rollback_waits_for_the_answer(void **state)
{
    (void)state;
    (void)add_job(8200, JOB_ROLLBACK, "before");
    age_job(400);
    const double wait = step(8200);
    assert_true(wait > 0 && wait <= 0.6);
    assert_called(false);
    age_job(1000);
    assert_seconds(step(8200), 1);
    assert_string_not_equal(unfinished(8200).upid, "");
}

static void test_nothing_else_waits(void **state)
{
    (void)state;
    (void)add_job(8200, JOB_BACKUP, "");
    age_job(0);
    assert_seconds(step(8200), 1);
    assert_string_not_equal(unfinished(8200).upid, "");
}

static void test_clock_was_put_back(void **state)
{
    (void)state;
    (void)add_job(8200, JOB_ROLLBACK, "before");
    age_job(-3600000);
    assert_seconds(step(8200), 1);
    assert_string_not_equal(unfinished(8200).upid, "");
}

/* --- Proxmox says no --- */

static void test_privilege_is_missing(void **state)
{
    (void)state;
    standin_write("tokens.json", "{\"" USER "\": {\"secret\": \"" SECRET "\"}}");
    (void)add_job(8200, JOB_SNAPSHOT, "one");
    assert_seconds(step(8200), -1);
    standin_write("tokens.json", TOKENS);
    assert_end(8200, "failed Proxmox: 403 Permission check failed (/vms/8200, VM.Snapshot)");
    assert_events("ok job 1: begun: one; error job 1: failed: Proxmox: 403 Permission check failed "
                  "(/vms/8200, VM.Snapshot)");
}

static void test_token_is_not_known(void **state)
{
    (void)state;
    standin_write("tokens.json", "{}");
    (void)add_job(8200, JOB_BACKUP, "");
    assert_seconds(step(8200), -1);
    standin_write("tokens.json", TOKENS);
    assert_end(8200, "failed Proxmox: 401 Authentication failed!");
}

static void test_guest_is_elsewhere(void **state)
{
    (void)state;
    (void)add_job(8204, JOB_BACKUP, "");
    assert_seconds(step(8204), -1);
    assert_end(8204, "failed Proxmox: it has begun nothing, as the guest is not on this node");
}

/* In most of these cases nothing was started. */
static void test_internal_error(void **state)
{
    (void)state;
    control("{\"status\": 500, \"reason\": \"got no worker\", \"only\": \"/vzdump\"}");
    (void)add_job(8200, JOB_BACKUP, "");
    assert_seconds(step(8200), 1);
    assert_called(true);
    assert_seconds(step(8200), 1); /* it is looked for */
    memory.missing_since_us -= 3 * SECOND_US;
    assert_seconds(step(8200), -1);
    assert_end(8200, "failed Proxmox: 500 got no worker");
    assert_asked("\"method\": \"POST\"", 1);
}

/* --- Proxmox was certainly not asked --- */

static void test_tried_again(void **state)
{
    static const double waits[] = {2, 4, 8, 16, 32, 60, 60};
    (void)state;
    standin_stop();
    (void)add_job(8200, JOB_BACKUP, "");
    for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
        assert_seconds(step(8200), waits[i]);
        assert_called(false);
    }
    standin_start("proxmox");
    assert_seconds(step(8200), 1);
    assert_int_equal(memory.failures, 0);
    run_to_end(8200);
    assert_end(8200, "done ");
    assert_asked("\"method\": \"POST\"", 1);
    assert_events("ok job 1: begun; ok job 1: snapshotted; ok job 1: done");
}

static void test_given_up_after_ten_minutes(void **state)
{
    (void)state;
    standin_stop();
    (void)add_job(8200, JOB_BACKUP, "");
    assert_seconds(step(8200), 2);
    age_job(599000);
    assert_seconds(step(8200), 4);
    age_job(600000);
    assert_seconds(step(8200), -1);
    standin_start("proxmox");
    assert_raw("SELECT phase || ' ' || (error LIKE 'https://127.0.0.1:%') FROM job", "failed 1");
}

static void test_too_late(void **state)
{
    (void)state;
    (void)add_job(8200, JOB_BACKUP, "");
    age_job(600000);
    assert_seconds(step(8200), -1);
    assert_end(8200, "failed it could not be begun within 10 minutes");
    assert_asked("\"method\": \"POST\"", 0);
}

/* An unfinished job keeps the guest from any other. */
static void test_too_late_with_the_clock_put_back(void **state)
{
    (void)state;
    standin_stop();
    (void)add_job(8200, JOB_BACKUP, "");
    age_job(-3600000);
    assert_seconds(step(8200), 2);
    memory.begin_until_us -= 599 * SECOND_US;
    assert_seconds(step(8200), 4);
    memory.begin_until_us -= SECOND_US;
    assert_seconds(step(8200), -1);
    standin_start("proxmox");
    assert_raw("SELECT phase FROM job", "failed");
}

static void test_proxys_daemon_is_away(void **state)
{
    (void)state;
    control("{\"status\": 595, \"reason\": \"Connection refused\"}");
    (void)add_job(8200, JOB_BACKUP, "");
    assert_seconds(step(8200), 2);
    assert_called(false);
    assert_string_equal(memory.problem.message, "Proxmox: 595 Connection refused");
}

static void test_token_is_gone(void **state)
{
    (void)state;
    shell("rm pve.token");
    (void)add_job(8200, JOB_BACKUP, "");
    assert_seconds(step(8200), 2);
    assert_called(false);
    assert_string_equal(memory.problem.message,
                        "there is no Proxmox API token: felhomctl init --pve-token makes one");
}

/* --- nobody knows whether it was --- */

static void test_answer_is_lost(void **state)
{
    static const char *const troubles[] = {
        "{\"drop\": true, \"only\": \"/vzdump\"}",    "{\"half\": true, \"only\": \"/vzdump\"}",
        "{\"garbage\": true, \"only\": \"/vzdump\"}", "{\"status\": 596, \"only\": \"/vzdump\"}",
        "{\"status\": 599, \"only\": \"/vzdump\"}",   "{\"status\": 502, \"only\": \"/vzdump\"}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(troubles); i++) {
        run_raw("DELETE FROM job");
        memory = (struct job_memory){.failures = 1, .problem = {.kind = ERROR_BUSY}};
        standin_write("requests.jsonl", "");
        control(troubles[i]);
        (void)add_job(8200, JOB_BACKUP, "");
        assert_seconds(step(8200), 1);
        assert_called(true);
        assert_int_equal(memory.problem.kind, ERROR_NONE);
        assert_seconds(step(8200), 1);
        assert_called(true);
        assert_asked("\"method\": \"POST\"", 1);
    }
}

static void test_lost_answer_is_found(void **state)
{
    (void)state;
    control("{\"lose_answer\": true, \"only\": \"/vzdump\", \"task_seconds\": 0.2}");
    (void)add_job(8200, JOB_BACKUP, "");
    assert_seconds(step(8200), 1);
    assert_called(true);
    assert_seconds(step(8200), 0);
    run_to_end(8200);
    assert_end(8200, "done ");
    assert_asked("\"method\": \"POST\"", 1);
}

/* --- the store --- */

static void test_not_asked_without_a_record(void **state)
{
    (void)state;
    (void)add_job(8200, JOB_BACKUP, "");
    const struct job job = unfinished(8200);
    make_called(job.job_id); /* by whoever it was */
    assert_int_equal(job_step(&world, &job, &memory), 5 * SECOND_US);
    run_raw("DROP TABLE job");
    assert_int_equal(job_step(&world, &job, &memory), 5 * SECOND_US);
    assert_asked("\"method\": \"POST\"", 0);
}

static void test_guest_is_gone(void **state)
{
    (void)state;
    (void)add_job(8200, JOB_BACKUP, "");
    const struct job job = unfinished(8200);
    OK(guest_remove(store, 8200, &error));
    assert_int_equal(job_step(&world, &job, &memory), 5 * SECOND_US);
    assert_asked("\"method\": \"POST\"", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        job_test(test_begins),
        job_test(test_description_is_passed_on),
        job_test(test_rollback_waits_for_the_answer),
        job_test(test_nothing_else_waits),
        job_test(test_clock_was_put_back),
        job_test(test_too_late_with_the_clock_put_back),
        job_test(test_privilege_is_missing),
        job_test(test_token_is_not_known),
        job_test(test_guest_is_elsewhere),
        job_test(test_internal_error),
        job_test(test_tried_again),
        job_test(test_given_up_after_ten_minutes),
        job_test(test_too_late),
        job_test(test_proxys_daemon_is_away),
        job_test(test_token_is_gone),
        job_test(test_answer_is_lost),
        job_test(test_lost_answer_is_found),
        job_test(test_not_asked_without_a_record),
        job_test(test_guest_is_gone),
    };
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
