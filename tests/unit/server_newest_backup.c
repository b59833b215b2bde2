/* SPDX-License-Identifier: Apache-2.0 */
/* Guests' newest backups, whoever made them. */
#include "server/jobs/jobs.h"

#include "store/tables/job.h"
#include "tests/unit/test.h"

#include "tests/unit/job_world.h"

#define ITEM(vmid, name, ctime) \
    "{\"volid\": \"local:backup/" name "\", \"ctime\": " ctime ", \"size\": 12," \
    " \"format\": \"tar.zst\", \"content\": \"backup\", \"vmid\": " #vmid "}"
#define CONTENT \
    "{\"local\": [" ITEM(8200, "old", "1000") ", " ITEM(8200, "new", \
                                                        "2000") ", " ITEM(8203, "vm", "1500") "]}"

#define ALL \
    "SELECT group_concat(vmid || ' ' || archive || ' ' || at_ms, '; ') FROM" \
    " (SELECT * FROM backup ORDER BY vmid)"
#define BOTH "8200 local:backup/new 2000000; 8203 local:backup/vm 1500000"

static struct newest_backups backups;

static struct pve_call call_now(void)
{
    return (struct pve_call){client, &config, "pve", clock_steady_us() + 600 * SECOND_US};
}

static int begin(void **state)
{
    int result = set_up(state);
    backups = (struct newest_backups){.log = THROTTLED_LOG_NEW, .stopping = &stopping};
    standin_write("content.json", CONTENT);
    return result;
}

static int end(void **state)
{
    newest_backups_clear(&backups);
    return tear_down(state);
}

/* Runs one step; returns after how many seconds the next is due. */
static double turn(void)
{
    const struct pve_call call = call_now();
    const int64_t at_us = newest_backups_turn(&backups, stores, &call);
    return (double)(at_us - clock_steady_us()) / 1e6;
}

static void make_due(void)
{
    backups.at_us = 0;
}

/* Runs steps until there is a pause; returns its seconds. */
static double look_at_all(void)
{
    double wait = 0;
    for (int i = 0; i < 10 && wait <= 0; i++)
        wait = turn();
    return wait;
}

static void assert_about(double seconds, double expected)
{
    if (seconds < expected - 2 || seconds > expected)
        fail_test("%f s", seconds);
}

/* --- one guest's --- */

static void test_looks(void **state)
{
    (void)state;
    const struct pve_call call = call_now();
    OK(job_read_newest_backup(stores, &call, 8200, &error));
    assert_raw(ALL, "8200 local:backup/new 2000000");
    standin_write("content.json", "{}");
    OK(job_read_newest_backup(stores, &call, 8200, &error));
    assert_raw("SELECT count(*) FROM backup", "0");
}

static void test_keeps_what_it_knew(void **state)
{
    (void)state;
    const struct pve_call call = call_now();
    OK(job_read_newest_backup(stores, &call, 8200, &error));
    control("{\"status\": 500, \"reason\": \"no\"}");
    FAILS(job_read_newest_backup(stores, &call, 8200, &error), ERROR_CONFLICT, "Proxmox: 500 no");
    assert_raw(ALL, "8200 local:backup/new 2000000");
}

static void test_unknown_guest(void **state)
{
    (void)state;
    const struct pve_call call = call_now();
    OK(guest_remove(store, 8200, &error));
    FAILS(job_read_newest_backup(stores, &call, 8200, &error), ERROR_MISSING,
          "the store knows no such guest");
}

/* --- all guests' --- */

static void test_all_in_turn(void **state)
{
    (void)state;
    assert_true(turn() <= 0);
    assert_raw(ALL, "8200 local:backup/new 2000000");
    assert_true(turn() <= 0);
    assert_raw(ALL, BOTH);
    assert_true(turn() <= 0); /* 8204 has none */
    assert_about(turn(), 900);
    assert_asked("/content", 3);
    assert_about(turn(), 900);
    assert_asked("/content", 3);
    make_due();
    assert_about(look_at_all(), 900);
    assert_asked("/content", 6);
}

static void test_no_token(void **state)
{
    (void)state;
    shell("rm pve.token");
    assert_about(turn(), 60);
    assert_about(turn(), 60);
    standin_write("pve.token", USER "=" SECRET "\n");
    make_due();
    assert_about(look_at_all(), 900);
    assert_raw(ALL, BOTH);
}

static void test_another_storage(void **state)
{
    (void)state;
    assert_about(look_at_all(), 900);
    assert_raw(ALL, BOTH);
    standin_write("tokens.json", "{\"" USER "\": {\"secret\": \"" SECRET "\", \"privileges\":"
                                 " {\"/\": [\"Datastore.AllocateSpace\"]}}}");
    configure("usb");
    assert_about(look_at_all(), 900);
    standin_write("tokens.json", TOKENS);
    assert_raw("SELECT count(*) FROM backup", "0");
}

static void test_proxmox_is_away(void **state)
{
    static const double waits[] = {34, 68, 135, 270, 540, 1013, 1013};
    (void)state;
    standin_stop();
    for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
        make_due();
        const double wait = turn(); /* up to an eighth more than 30, 60, ... seconds */
        if (wait < waits[i] * 0.8 || wait > waits[i])
            fail_test("%zu: %f s", i, wait);
    }
    standin_start("proxmox");
    make_due();
    assert_about(look_at_all(), 900);
    assert_int_equal(backups.failures, 0);
    assert_raw(ALL, BOTH);
}

/* A failure for one guest does not stop the others. */
static void test_one_goes_wrong(void **state)
{
    (void)state;
    put_guest(store, 8100);
    control("{\"garbage\": true}");
    assert_true(turn() <= 0);
    assert_int_equal(backups.vmid, 8100);
    control("{}");
    assert_about(look_at_all(), 900);
    assert_raw(ALL, BOTH);
}

/* A failure of the storage concerns all guests. */
static void test_proxmox_refuses(void **state)
{
    (void)state;
    configure("usb");
    const double wait = turn();
    assert_true(wait > 29 && wait < 34);
    assert_int_equal(backups.failures, 1);
    assert_asked("/content", 1);
}

static void test_store_is_spoilt(void **state)
{
    (void)state;
    run_raw("ALTER TABLE guest RENAME TO away");
    assert_about(turn(), 60);
    run_raw("ALTER TABLE away RENAME TO guest");
    make_due();
    assert_about(look_at_all(), 900);
    assert_raw(ALL, BOTH);
}

static void test_stopping(void **state)
{
    (void)state;
    atomic_store(&stopping, true);
    assert_true(turn() > 0);
    assert_raw("SELECT count(*) FROM backup", "0");
}

#define backup_test(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        backup_test(test_looks),           backup_test(test_keeps_what_it_knew),
        backup_test(test_unknown_guest),   backup_test(test_all_in_turn),
        backup_test(test_no_token),        backup_test(test_another_storage),
        backup_test(test_proxmox_is_away), backup_test(test_one_goes_wrong),
        backup_test(test_proxmox_refuses), backup_test(test_store_is_spoilt),
        backup_test(test_stopping),
    };
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
