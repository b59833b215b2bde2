/* SPDX-License-Identifier: Apache-2.0 */
/* The database itself: made, opened, refused. */
#include "tests/unit/test.h"

#include <signal.h>
#include <sys/resource.h>

#include "store/base/clock.h"
#include "store/db/sql.h"

#include "tests/unit/store_fixture.h"
#include "tests/unit/store_work.h"

static void assert_refused(enum store_open_mode mode, enum error_kind kind, const char *format,
                           const char *name)
{
    char expected[512];
    cleanup_free char *path = mem_copy_text(in_scratch(name));
    const char *place = strstr(format, "PATH");
    (void)snprintf(expected, sizeof expected, "%.*s%s%s", (int)(place - format), format, path,
                   place + strlen("PATH"));
    FAILS(open_scratch(mode, 100, &error), kind, expected);
}

/* --- making and opening --- */

static void test_clocks(void **state)
{
    (void)state;
    int64_t wall = clock_wall_ms();
    int64_t steady = clock_steady_us();
    assert_true(wall > 1600000000000 && wall < 32503680000000);
    (void)usleep(2000);
    assert_in_range(clock_steady_us() - steady, 2000, 600000000);
    assert_in_range(clock_wall_ms() - wall, 1, 600000);
}

static void test_create(void **state)
{
    (void)state;
    mode_t before = umask(0);
    cleanup_store struct store *store = store_of_scratch();
    (void)umask(before);
    put_guest(store, 100);
    assert_int_equal(status_of("state/db").st_mode & 07777, 0700);
    assert_int_equal(status_of(database).st_mode & 07777, 0600);
    assert_int_equal(status_of("state/db/agent.db-wal").st_mode & 07777, 0600);
    assert_int_equal(status_of("state/db/agent.db-shm").st_mode & 07777, 0600);
    assert_int_equal(count_entries(in_scratch("state/db")), 3);
    assert_raw("PRAGMA journal_mode", "wal");
    cleanup_free char *version = mem_format("%d", store_schema_version());
    assert_raw("PRAGMA user_version", version);
    assert_raw("SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema WHERE type = 'table'"
               " AND name NOT LIKE 'sqlite%' ORDER BY name)",
               "backup,credential,event,explanation,guest,host,hub_config,job,mount,nic,restore_"
               "test,token");
    assert_raw("SELECT count(*) FROM pragma_table_list WHERE type = 'table' AND NOT strict"
               " AND name NOT LIKE 'sqlite%'",
               "0");
    int64_t setting = -1;
    OK(sql_settle(store, "PRAGMA synchronous", &setting, &error));
    assert_int_equal(setting, 2);
    OK(sql_settle(store, "PRAGMA foreign_keys", &setting, &error));
    assert_int_equal(setting, 1);
}

static void test_missing(void **state)
{
    (void)state;
    assert_refused(STORE_OPEN_EXISTING, ERROR_MISSING,
                   "there is no store at PATH: run `felhomctl init`", "state/db");
    shell("mkdir -m 700 state/db");
    assert_refused(STORE_OPEN_EXISTING, ERROR_MISSING,
                   "there is no store at PATH: run `felhomctl init`", database);
    assert_false(is_there(database));
    OK(open_scratch(STORE_OPEN_CREATE, 100, &error));
    OK(open_scratch(STORE_OPEN_EXISTING, 100, &error));
    shell("rm -r state");
    assert_refused(STORE_OPEN_CREATE, ERROR_MISSING,
                   "there is no state directory PATH: run `felhomctl init`", "state");
    assert_false(is_there("state"));
    shell("echo x >state");
    assert_refused(STORE_OPEN_CREATE, ERROR_SYSTEM,
                   "cannot open the state directory PATH: Not a directory", "state");
}

static void test_links_are_refused(void **state)
{
    (void)state;
    OK(open_scratch(STORE_OPEN_CREATE, 100, &error));
    shell("mv state/db elsewhere; ln -s ../elsewhere state/db");
    assert_refused(STORE_OPEN_CREATE, ERROR_DENIED, "PATH is not a directory: move it away",
                   "state/db");
    shell("rm state/db; mkdir state/db; ln -s ../../elsewhere/agent.db state/db/agent.db");
    assert_refused(STORE_OPEN_CREATE, ERROR_DENIED, "PATH is not a regular file: move it away",
                   database);
    shell("ln -sf ../../elsewhere/nothing state/db/agent.db");
    assert_refused(STORE_OPEN_CREATE, ERROR_DENIED, "PATH is not a regular file: move it away",
                   database);
    assert_false(is_there("elsewhere/nothing"));
    shell("rm state/db/agent.db; cp elsewhere/agent.db state/db; touch victim;"
          " ln -s ../../victim state/db/agent.db-wal");
    assert_refused(STORE_OPEN_CREATE, ERROR_DENIED, "PATH is not a regular file: move it away",
                   "state/db/agent.db-wal");
    shell("rm state/db/agent.db; mkfifo state/db/agent.db");
    assert_refused(STORE_OPEN_EXISTING, ERROR_DENIED, "PATH is not a regular file: move it away",
                   database);
}

/* The path of the state directory is chosen by the operator. */
static void test_state_directory_may_be_a_link(void **state)
{
    (void)state;
    shell("mv state real; ln -s real state");
    OK(open_scratch(STORE_OPEN_CREATE, 100, &error));
    assert_true(is_there("real/db/agent.db"));
}

static int work_as_owner(void)
{
    EXPECT(setresgid(GROUP, GROUP, GROUP) == 0 && setresuid(OWNER, OWNER, OWNER) == 0);
    EXPECT(work(STORE_OPEN_EXISTING, 8300) == 0);
    return 0;
}

static void test_owner(void **state)
{
    (void)state;
    needs_root();
    shell("chown %d:%d state", OWNER, GROUP);
    assert_int_equal(work(STORE_OPEN_CREATE, 8200), 0);
    assert_all_owned();
    in_child(work_as_owner);
    assert_int_equal(work(STORE_OPEN_EXISTING, 8200), 0);
    assert_all_owned();
    assert_raw("SELECT group_concat(vmid || ' ' || generation) FROM guest", "8200 2,8300 1");
}

/* Files that a killed process, or a tool run by root, left with the wrong owner. */
static void test_owner_is_mended(void **state)
{
    (void)state;
    needs_root();
    shell("chown %d:%d state", OWNER, GROUP);
    assert_int_equal(work(STORE_OPEN_CREATE, 8200), 0);
    shell("chown 0:0 state/db state/db/*");
    assert_int_equal(work(STORE_OPEN_EXISTING, 8200), 0);
    assert_all_owned();
    shell("sqlite3 state/db/agent.db 'SELECT count(*) FROM guest' >/dev/null");
    assert_false(is_there("state/db/agent.db-wal")); /* the last one out cleared up */
    assert_int_equal(work(STORE_OPEN_EXISTING, 8200), 0);
    assert_all_owned();
}

/* Changing the owner of a file with a second name would change the owner of that other file. */
static void test_hard_link_is_not_given_away(void **state)
{
    (void)state;
    needs_root();
    OK(open_scratch(STORE_OPEN_CREATE, 100, &error));
    shell("echo secret >victim; chmod 600 victim; chown %d:%d state", OWNER, GROUP);
    shell("rm state/db/agent.db-wal; ln victim state/db/agent.db-wal");
    assert_refused(STORE_OPEN_EXISTING, ERROR_DENIED,
                   "PATH has a wrong owner and a second name elsewhere: remove one of them",
                   "state/db/agent.db-wal");
    assert_int_equal(status_of("victim").st_uid, 0);
}

static int open_as_stranger(void)
{
    EXPECT(setresuid(OWNER + 1, OWNER + 1, OWNER + 1) == 0);
    struct error failure = {0};
    EXPECT(open_scratch(STORE_OPEN_CREATE, 100, &failure) == -1);
    EXPECT(failure.kind == ERROR_SYSTEM);
    EXPECT(strstr(failure.message, "/state/db/agent.db: Permission denied"));
    return 0;
}

static void test_stranger(void **state)
{
    (void)state;
    needs_root();
    OK(open_scratch(STORE_OPEN_CREATE, 100, &error));
    in_child(open_as_stranger);
}

static int open_read_only(void)
{
    struct error failure = {0};
    if (geteuid() == 0)
        EXPECT(setresuid(OWNER, OWNER, OWNER) == 0);
    EXPECT(open_scratch(STORE_OPEN_EXISTING, 100, &failure) == -1);
    EXPECT(failure.kind == ERROR_DENIED);
    EXPECT(strstr(failure.message, "/db/agent.db may not be written by this user"));
    return 0;
}

/* SQLite would open it all the same, and begin transactions that fail. */
static void test_read_only_file(void **state)
{
    (void)state;
    OK(open_scratch(STORE_OPEN_CREATE, 100, &error));
    shell("chmod 400 state/db/agent.db");
    if (geteuid() == 0)
        shell("chown -R %d state", OWNER);
    in_child(open_read_only);
}

/* A full disk, simulated by a limit on the size of files. */
static int write_without_room(void)
{
    cleanup_store struct store *store = NULL;
    struct error failure = {0};
    (void)signal(SIGXFSZ, SIG_IGN);
    EXPECT(store_open(in_scratch("state"), STORE_OPEN_EXISTING, 100, &store, &failure) == 0);
    EXPECT(setrlimit(RLIMIT_FSIZE, &(struct rlimit){8192, 8192}) == 0);
    struct guest guest = guest_named(8200, "web");
    EXPECT(guest_put(store, &guest, &failure) == -1);
    EXPECT(failure.kind == ERROR_SYSTEM);
    EXPECT(strstr(failure.message, "/db/agent.db: "));
    return 0;
}

static void test_no_room(void **state)
{
    (void)state;
    assert_int_equal(work(STORE_OPEN_CREATE, 8300), 0);
    in_child(write_without_room);
    assert_int_equal(work(STORE_OPEN_EXISTING, 8300), 0);
    assert_raw("SELECT group_concat(vmid) FROM guest", "8300");
    assert_whole();
}

static void test_descriptors_are_closed_on_exec(void **state)
{
    (void)state;
    int before = count_entries("/proc/self/fd");
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 100);
    assert_int_equal(count_entries("/proc/self/fd"), before + 3);
    for (int fd = 3; fd < 256; fd++) {
        char link[64];
        char target[512] = "";
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, target, sizeof target - 1) > 0 && strstr(target, "agent.db"))
            assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    }
}

static void test_close_of_nothing(void **state)
{
    (void)state;
    store_close(NULL);
}

/* --- what is refused --- */

static void test_newer_is_not_touched(void **state)
{
    (void)state;
    OK(open_scratch(STORE_OPEN_CREATE, 100, &error));
    shell("sqlite3 state/db/agent.db 'PRAGMA user_version = 99'; cp state/db/agent.db before");
    char expected[512];
    (void)snprintf(expected, sizeof expected,
                   "the store PATH has version 99, written by a newer felhom-agent; this one knows "
                   "versions up to %d: upgrade it",
                   store_schema_version());
    assert_refused(STORE_OPEN_EXISTING, ERROR_NEWER, expected, database);
    assert_refused(STORE_OPEN_CREATE, ERROR_NEWER, expected, database);
    shell("cmp before state/db/agent.db");
    assert_int_equal(status_of("before").st_size, status_of(database).st_size);
}

/* --- migrations --- */

static void test_empty_file_is_brought_up(void **state)
{
    (void)state;
    shell("mkdir -m 700 state/db; (umask 077; : >state/db/agent.db)");
    assert_int_equal(work(STORE_OPEN_EXISTING, 8200), 0);
    assert_raw("PRAGMA journal_mode", "wal");
    assert_whole();
}

static void test_failing_migration_leaves_nothing(void **state)
{
    (void)state;
    shell("mkdir -m 700 state/db; sqlite3 state/db/agent.db 'CREATE TABLE event (x)'");
    assert_int_equal(open_scratch(STORE_OPEN_EXISTING, 100, &error), -1);
    assert_int_equal(error.kind, ERROR_SYSTEM);
    cleanup_free char *expected =
        mem_format("migration of %s to version 1: the store %s: table event already exists",
                   in_scratch(database), in_scratch(database));
    assert_string_equal(error.message, expected);
    assert_raw("SELECT group_concat(name) FROM sqlite_schema", "event");
    assert_raw("PRAGMA user_version", "0");
    run_raw("DROP TABLE event");
    assert_int_equal(work(STORE_OPEN_EXISTING, 8200), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clocks),
        store_test(test_create),
        store_test(test_missing),
        store_test(test_links_are_refused),
        store_test(test_state_directory_may_be_a_link),
        store_test(test_owner),
        store_test(test_owner_is_mended),
        store_test(test_hard_link_is_not_given_away),
        store_test(test_stranger),
        store_test(test_read_only_file),
        store_test(test_no_room),
        store_test(test_descriptors_are_closed_on_exec),
        cmocka_unit_test(test_close_of_nothing),
        store_test(test_newer_is_not_touched),
        store_test(test_empty_file_is_brought_up),
        store_test(test_failing_migration_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
