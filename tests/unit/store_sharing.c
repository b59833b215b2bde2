/* SPDX-License-Identifier: Apache-2.0 */
/* One database used by many processes, and by processes that are killed. */
#include "tests/unit/test.h"

#include <signal.h>
#include <sys/prctl.h>

#include "store/base/clock.h"

#include "tests/unit/store_fixture.h"
#include "tests/unit/store_work.h"

/* A child that is killed if the test fails. */
static pid_t fork_child(void)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    return child;
}

static void run_together(int count, enum store_open_mode mode)
{
    int failures = 0;
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < count; i++)
        if (fork_child() == 0) {
            char byte;
            (void)close(gate[1]);
            (void)!read(gate[0], &byte, 1); /* all start when the last one is there */
            _exit(work(mode, 100 + (uint32_t)i));
        }
    (void)close(gate[0]);
    (void)close(gate[1]);
    for (int i = 0, status; i < count; i++)
        failures += wait(&status) < 0 || status != 0;
    assert_int_equal(failures, 0);
    assert_raw("SELECT (SELECT count(*) FROM guest) || ' ' || (SELECT count(*) FROM token)"
               " || ' ' || (SELECT max(seq) FROM event)",
               "64 64 64");
    assert_whole();
}

static void test_many_make_it_at_once(void **state)
{
    (void)state;
    run_together(64, STORE_OPEN_CREATE);
}

static void test_many_bring_it_up_at_once(void **state)
{
    (void)state;
    shell("mkdir -m 700 state/db; (umask 077; : >state/db/agent.db)");
    run_together(64, STORE_OPEN_EXISTING);
}

/* Runs what in a child, which then reports that it is ready and stays until it is killed. */
static pid_t hold(void (*what)(void))
{
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork_child();
    if (child == 0) {
        what();
        (void)!write(ready[1], "x", 1);
        for (;;)
            (void)pause();
    }
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    return child;
}

static void end(pid_t child)
{
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void begin_and_write(void)
{
    struct store *store = store_of_scratch();
    OK(store_begin(store, &error));
    put_guest(store, 8200);
}

static void lock_all(void)
{
    sqlite3 *connection = connect_raw();
    assert_int_equal(sqlite3_exec(connection,
                                  "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;"
                                  "DELETE FROM guest; COMMIT",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
}

static void test_writer_elsewhere(void **state)
{
    (void)state;
    OK(open_scratch(STORE_OPEN_CREATE, 100, &error));
    pid_t child = hold(begin_and_write);
    cleanup_store struct store *store = NULL;
    OK(store_open(in_scratch("state"), STORE_OPEN_EXISTING, 150, &store, &error));
    struct guest guest = guest_named(8300, "db");
    int64_t started = clock_steady_us();
    FAILS(store_begin(store, &error), ERROR_BUSY, "the store is locked by another process");
    assert_true(clock_steady_us() - started >= 150000);
    FAILS(guest_put(store, &guest, &error), ERROR_BUSY, "the store is locked by another process");
    /* Reading continues, without uncommitted data. */
    FAILS(guest_find(store, 8200, &guest, &error), ERROR_MISSING, "the store knows no guest 8200");
    end(child);
    OK(store_begin(store, &error));
    put_guest(store, 8300);
    OK(store_commit(store, &error));
    assert_raw("SELECT group_concat(vmid) FROM guest", "8300");
    assert_whole();
}

static void test_all_locked_elsewhere(void **state)
{
    (void)state;
    OK(open_scratch(STORE_OPEN_CREATE, 100, &error));
    pid_t child = hold(lock_all);
    int64_t started = clock_steady_us();
    FAILS(open_scratch(STORE_OPEN_EXISTING, 150, &error), ERROR_BUSY,
          "the store is locked by another process");
    assert_true(clock_steady_us() - started >= 150000);
    end(child);
    OK(open_scratch(STORE_OPEN_EXISTING, 150, &error));
}

static void test_lock_that_is_given_back_in_time(void **state)
{
    (void)state;
    pid_t child = hold(begin_and_write);
    cleanup_store struct store *store = store_of_scratch();
    pid_t killer = fork_child();
    if (killer == 0) {
        (void)usleep(100000);
        _exit(kill(child, SIGKILL));
    }
    OK(store_begin(store, &error));
    store_rollback(store);
    assert_int_equal(waitpid(killer, NULL, 0), killer);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static int find_busy(void)
{
    cleanup_store struct store *store = NULL;
    struct error failure = {0};
    EXPECT(store_open(in_scratch("state"), STORE_OPEN_EXISTING, 50, &store, &failure) == 0);
    EXPECT(store_begin(store, &failure) == -1);
    EXPECT(failure.kind == ERROR_BUSY);
    return 0;
}

/* Closing any descriptor of a file drops all POSIX locks that the process has on the file, so a
 * second open and close must not do that. The child is forked before this process has any store,
 * because SQLite shares what it knows of locks within a process. */
static void test_second_handle_keeps_the_locks_of_the_first(void **state)
{
    (void)state;
    int gate[2];
    int status = -1;
    assert_int_equal(pipe(gate), 0);
    pid_t child = fork_child();
    if (child == 0) {
        char byte;
        (void)!read(gate[0], &byte, 1);
        _exit(find_busy());
    }
    cleanup_store struct store *store = store_of_scratch();
    OK(store_begin(store, &error));
    OK(open_scratch(STORE_OPEN_CREATE, 100, &error));
    assert_int_equal(write(gate[1], "x", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    (void)close(gate[0]);
    (void)close(gate[1]);
    store_rollback(store);
}

static void test_rollback(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    store_rollback(store);
    OK(store_begin(store, &error));
    put_guest(store, 8200);
    store_rollback(store);
    OK(store_begin(store, &error));
    put_guest(store, 8300);
    store_close(steal(store)); /* rolls back too */
    assert_raw("SELECT count(*) FROM guest", "0");
}

static void test_begin_twice(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    OK(store_begin(store, &error));
    assert_int_equal(store_begin(store, &error), -1);
    assert_int_equal(error.kind, ERROR_SYSTEM);
    OK(store_commit(store, &error));
    assert_int_equal(store_commit(store, &error), -1);
}

/* --- surviving --- */

/* So much data that part of it was written to the log before the commit. */
static void write_much(void)
{
    static char detail[2000];
    struct store *store = store_of_scratch();
    struct event event = {.vmid = 8200, .kind = "mint", .outcome = "ok", .detail = detail};
    memset(detail, 'x', sizeof detail - 1);
    OK(store_begin(store, &error));
    put_guest(store, 8200);
    for (int i = 0; i < 3000; i++)
        OK(event_add(store, &event, &error));
}

static void test_killed_in_a_transaction(void **state)
{
    (void)state;
    assert_int_equal(work(STORE_OPEN_CREATE, 8300), 0);
    end(hold(write_much));
    assert_true(status_of("state/db/agent.db-wal").st_size > 1000000);
    assert_int_equal(work(STORE_OPEN_EXISTING, 8300), 0);
    assert_raw("SELECT group_concat(vmid) FROM guest", "8300");
    assert_raw("SELECT group_concat(seq) FROM event", "1,2");
    assert_whole();
}

static void work_for_ever(enum store_open_mode mode)
{
    while (work(mode, 8200) == 0)
        ;
    _exit(1);
}

static void kill_after(useconds_t pause_us)
{
    pid_t child = fork_child();
    if (child == 0)
        work_for_ever(STORE_OPEN_CREATE);
    (void)usleep(pause_us);
    end(child);
}

static void test_killed_anywhere(void **state)
{
    (void)state;
    for (useconds_t i = 0; i < 25; i++) {
        kill_after(3000 + i * 1371);
        assert_int_equal(work(STORE_OPEN_CREATE, 8200), 0);
        assert_whole();
    }
}

static void test_killed_while_making_it(void **state)
{
    (void)state;
    for (useconds_t i = 0; i < 25; i++) {
        if (geteuid() == 0)
            shell("chown %d:%d state", OWNER, GROUP);
        kill_after(300 + i * 211);
        assert_int_equal(work(STORE_OPEN_CREATE, 8200), 0);
        assert_whole();
        if (geteuid() == 0)
            assert_all_owned();
        shell("rm -r state/db");
    }
}

/* Processes that open the store one after another never share the log's index; the log must not
 * grow without limit nevertheless. */
static void test_log_is_bounded(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(work(STORE_OPEN_CREATE, 8200), 0);
    assert_in_range(status_of("state/db/agent.db-wal").st_size, 0, 200 * 4120);
    assert_raw("SELECT generation FROM guest", "100");
    assert_whole();
}

/* A reader delays the checkpoint of the log; no process waits for that. */
static void test_reader_does_not_hold_up_writers(void **state)
{
    (void)state;
    assert_int_equal(work(STORE_OPEN_CREATE, 8200), 0);
    sqlite3 *reader = connect_raw();
    sqlite3_stmt *statement = NULL;
    assert_int_equal(
        sqlite3_prepare_v2(reader, "SELECT * FROM sqlite_schema", -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t started = clock_steady_us();
    for (int i = 0; i < 40; i++)
        assert_int_equal(work(STORE_OPEN_EXISTING, 8200), 0);
    assert_true(clock_steady_us() - started < 20 * BUSY_MS * 1000LL);
    (void)sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(reader), SQLITE_OK);
    assert_whole();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(test_many_make_it_at_once),
        store_test(test_many_bring_it_up_at_once),
        store_test(test_writer_elsewhere),
        store_test(test_all_locked_elsewhere),
        store_test(test_lock_that_is_given_back_in_time),
        store_test(test_second_handle_keeps_the_locks_of_the_first),
        store_test(test_rollback),
        store_test(test_begin_twice),
        store_test(test_killed_in_a_transaction),
        store_test(test_killed_anywhere),
        store_test(test_killed_while_making_it),
        store_test(test_log_is_bounded),
        store_test(test_reader_does_not_hold_up_writers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
