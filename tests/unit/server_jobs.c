/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that carries out the jobs. */
#include "server/jobs/jobs.h"

#include "server/base/context.h"
#include "store/host/host.h"
#include "tests/unit/test.h"

#include "tests/unit/job_world.h"

static struct context context;
static struct server_config current;
static struct jobs *jobs;

static void describe_host(void)
{
    const struct host host = {.host_id = "demo", .node = "pve", .endpoint = "192.0.2.1:8443"};
    OK(host_put(store, &host, &error));
}

/* The configuration belongs to the test: its reference count never becomes 0. */
static int begin(void **state)
{
    int result = set_up(state);
    describe_host();
    current = (struct server_config){.references = 1, .config = config};
    context = (struct context){.config = &current, .stores = stores};
    (void)pthread_mutex_init(&context.lock, NULL);
    return result;
}

static int end(void **state)
{
    jobs_stop(jobs);
    jobs = NULL;
    (void)pthread_mutex_destroy(&context.lock);
    return tear_down(state);
}

static void start(void)
{
    jobs = jobs_start(&context);
}

static void stop(void)
{
    jobs_stop(jobs);
    jobs = NULL;
}

/* Waits until the statement returns that. */
static void eventually(const char *sql, const char *expected)
{
    for (int i = 0; i < 30000; i++) {
        cleanup_free char *text = text_raw(sql);
        if (strcmp(text, expected) == 0)
            return;
        (void)poll(NULL, 0, 20);
    }
    cleanup_free char *text = text_raw(sql);
    fail_test("%s: %s", sql, text);
}

static int unfinished_count(void)
{
    cleanup_free char *text = text_raw("SELECT count(*) FROM job WHERE finished_at_ms IS NULL");
    return atoi(text);
}

#define PHASES "SELECT group_concat(phase) FROM (SELECT * FROM job ORDER BY job_id)"

static void assert_asked_at_most(const char *text, int times)
{
    char count[256];
    cleanup_free char *command = mem_format("grep -cF '%s' requests.jsonl", text);
    output_of(command, count);
    if (atoi(count) > times)
        fail_test("%s: %s times", text, count);
}

/* --- */

static void test_nobody_is_there(void **state)
{
    (void)state;
    jobs_wake(NULL);
    jobs_stop(NULL);
}

static void test_goes_on_at_the_start(void **state)
{
    (void)state;
    (void)add_job(8200, JOB_BACKUP, "");
    start();
    eventually(PHASES, "done");
    assert_events("ok job 1: begun; ok job 1: snapshotted; ok job 1: done");
    assert_asked("\"method\": \"POST\"", 1);
}

static void test_woken(void **state)
{
    (void)state;
    start();
    (void)poll(NULL, 0, 200);
    (void)add_job(8200, JOB_SNAPSHOT, "one");
    jobs_wake(jobs);
    eventually(PHASES, "done");
    (void)add_job(8200, JOB_SNAPSHOT, "two");
    jobs_wake(jobs);
    eventually(PHASES, "done,done");
}

/* No job ends before all have begun. */
static void test_side_by_side(void **state)
{
    (void)state;
    control("{\"task_seconds\": 0.2, \"task_hold\": 0.01}");
    for (uint32_t vmid = 8210; vmid < 8220; vmid++)
        put_guest(store, vmid);
    shell("jq '. + ([range(8210; 8220) | {(tostring): {type: \"lxc\", running: true}}] | add)' "
          "guests.json >g && mv g guests.json");
    standin_write("tokens.json", "{\"" USER "\": {\"secret\": \"" SECRET "\", \"privileges\":"
                                 " {\"/vms\": " RIGHTS "}}}");
    for (uint32_t vmid = 8210; vmid < 8220; vmid++)
        (void)add_job(vmid, JOB_SNAPSHOT, "one");
    start();
    eventually("SELECT count(*) FROM job WHERE upid <> ''", "10");
    control("{}");
    eventually(PHASES, "done,done,done,done,done,done,done,done,done,done");
    standin_write("tokens.json", TOKENS);
    assert_asked("\"method\": \"POST\"", 10);
}

/* However often it is woken, it queries Proxmox once a second, and only for the log's new lines. */
static void test_nothing_is_asked_twice(void **state)
{
    (void)state;
    (void)add_job(8200, JOB_SNAPSHOT, "one");
    control("{\"task_seconds\": 0.2}");
    start();
    eventually("SELECT upid <> '' FROM job", "1");
    control("{\"task_seconds\": 2.5}");
    (void)add_job(8203, JOB_BACKUP, "");
    const int64_t begun_us = clock_steady_us();
    for (int i = 0; i < 30000 && unfinished_count() > 0; i++) {
        jobs_wake(jobs);
        (void)poll(NULL, 0, 20);
    }
    assert_raw(PHASES, "done,done");
    assert_asked("\"start\": \"0\"", 1);
    assert_asked_at_most("/status\"", 10 + 2 * (int)((clock_steady_us() - begun_us) / SECOND_US));
}

static void test_a_guest_that_is_gone(void **state)
{
    (void)state;
    control("{\"task_seconds\": 60}");
    (void)add_job(8200, JOB_SNAPSHOT, "one");
    (void)add_job(8203, JOB_SNAPSHOT, "one");
    start();
    eventually("SELECT count(*) FROM job WHERE upid <> ''", "2");
    OK(guest_remove(store, 8200, &error));
    control("{\"task_seconds\": 0.2}");
    put_guest_of(8200, GUEST_LXC);
    (void)add_job(8200, JOB_BACKUP, "");
    jobs_wake(jobs);
    eventually("SELECT phase FROM job WHERE vmid = 8200 AND kind = 'backup'", "done");
    assert_raw("SELECT phase FROM job WHERE vmid = 8203", "running");
}

/* --- stopping --- */

static void test_stops_in_the_middle_of_a_question(void **state)
{
    (void)state;
    control("{\"delay\": 600, \"only\": \"/vzdump\", \"task_seconds\": 0.2}");
    (void)add_job(8200, JOB_BACKUP, "");
    start();
    eventually("SELECT called_at_ms IS NOT NULL FROM job", "1");
    const int64_t begun_us = clock_steady_us();
    stop();
    assert_true(clock_steady_us() - begun_us < 25 * SECOND_US); /* it would wait for thirty */
    assert_raw(PHASES, "running");
    assert_raw("SELECT count(*) FROM event", "1");
}

static void test_goes_on_after_a_stop(void **state)
{
    (void)state;
    control("{\"task_seconds\": 1}");
    (void)add_job(8200, JOB_BACKUP, "");
    for (int i = 0; i < 5; i++) {
        start();
        eventually("SELECT upid <> '' FROM job", "1");
        stop();
    }
    start();
    eventually(PHASES, "done");
    assert_asked("\"method\": \"POST\"", 1);
    assert_events("ok job 1: begun; ok job 1: snapshotted; ok job 1: done");
}

/* --- what else it does --- */

static void test_newest_backups_of_all(void **state)
{
    (void)state;
    standin_write("content.json",
                  "{\"local\": [{\"volid\": \"local:backup/by-somebody-else\", \"ctime\": 1000,"
                  " \"size\": 12, \"format\": \"tar\", \"content\": \"backup\", \"vmid\": 8203}]}");
    start();
    eventually("SELECT vmid || ' ' || archive FROM (SELECT 1) LEFT JOIN backup",
               "8203 local:backup/by-somebody-else");
}

static void test_by_the_settings(void **state)
{
    (void)state;
    configure("usb");
    standin_write("tokens.json",
                  "{\"" USER "\": {\"secret\": \"" SECRET "\", \"privileges\": {\"/vms\": " RIGHTS
                  ", \"/storage/usb\": [\"Datastore.AllocateSpace\"]}}}");
    current.config = config;
    (void)add_job(8200, JOB_BACKUP, "");
    start();
    eventually(PHASES, "done");
    standin_write("tokens.json", TOKENS);
    assert_asked("storage=usb", 1);
}

/* Without a store no job is carried out, and none is lost. */
static void test_store_is_away(void **state)
{
    (void)state;
    (void)add_job(8200, JOB_BACKUP, "");
    run_raw("ALTER TABLE host RENAME TO away");
    start();
    (void)poll(NULL, 0, 300);
    assert_asked("\"path\"", 0);
    run_raw("ALTER TABLE away RENAME TO host");
    jobs_wake(jobs);
    eventually(PHASES, "done");
}

#define jobs_test(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_is_there),
        jobs_test(test_goes_on_at_the_start),
        jobs_test(test_woken),
        jobs_test(test_side_by_side),
        jobs_test(test_nothing_is_asked_twice),
        jobs_test(test_a_guest_that_is_gone),
        jobs_test(test_stops_in_the_middle_of_a_question),
        jobs_test(test_goes_on_after_a_stop),
        jobs_test(test_newest_backups_of_all),
        jobs_test(test_by_the_settings),
        jobs_test(test_store_is_away),
    };
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
