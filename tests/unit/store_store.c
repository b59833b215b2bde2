/* SPDX-License-Identifier: Apache-2.0 */
/* The database itself: making, opening, refusing, sharing and surviving. */
#include "tests/unit/test.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>

#include "store/clock.h"
#include "store/event.h"
#include "store/sql.h"
#include "store/token.h"

#include "tests/unit/store_fixture.h"

#define OWNER 12345
#define GROUP 23456

static const char database[] = "state/db/agent.db";

static void assert_whole(void)
{
    assert_raw("PRAGMA integrity_check", "ok");
    assert_raw("SELECT count(*) FROM pragma_foreign_key_check", "0");
    assert_raw("SELECT count(*) FROM guest WHERE generation <>"
               " (SELECT ifnull(max(generation), 0) FROM token WHERE token.vmid = guest.vmid)",
               "0");
}

static int open_scratch(enum store_open_mode mode, uint32_t busy_ms, struct error *failure)
{
    struct store *store = NULL;
    int r = store_open(in_scratch("state"), mode, busy_ms, &store, failure);
    if (r < 0 && store)
        return -2; /* set on success only */
    store_close(store);
    return r;
}

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

/* A whole pre-start as the store sees it. 0 if all went well; for children, which have no cmocka.
 */
static int work(enum store_open_mode mode, uint32_t vmid)
{
    cleanup_store struct store *store = NULL;
    struct error failure = {0};
    struct guest guest = guest_named(vmid, "web");
    struct token token;
    struct event event = {.vmid = vmid, .kind = "mint", .outcome = "ok"};
    if (store_open(in_scratch("state"), mode, BUSY_MS, &store, &failure) < 0 ||
        store_begin(store, &failure) < 0 || guest_put(store, &guest, &failure) < 0 ||
        token_mint(store, vmid, 1000, 0, &token, &failure) < 0 ||
        token_revoke_before(store, vmid, token.generation, 1000, "x", NULL, &failure) < 0 ||
        event_add(store, &event, &failure) < 0 || store_commit(store, &failure) < 0) {
        (void)fprintf(stderr, "guest %u: %s\n", vmid, failure.message);
        return 1;
    }
    return 0;
}

/* --- making and opening --- */

static void test_clocks(void **state)
{
    (void)state;
    int64_t wall = clock_wall_ms();
    int64_t steady = clock_steady_us();
    assert_true(wall > 1600000000000 && wall < 32503680000000);
    (void)usleep(2000);
    assert_in_range(clock_steady_us() - steady, 2000, 10000000);
    assert_in_range(clock_wall_ms() - wall, 1, 10000);
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
               "event,guest,host,job,mount,nic,token");
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

/* The path of the state directory is the operator's own. */
static void test_state_directory_may_be_a_link(void **state)
{
    (void)state;
    shell("mv state real; ln -s real state");
    OK(open_scratch(STORE_OPEN_CREATE, 100, &error));
    assert_true(is_there("real/db/agent.db"));
}

static void assert_owned(const char *name)
{
    struct stat status = status_of(name);
    assert_int_equal(status.st_uid, OWNER);
    assert_int_equal(status.st_gid, GROUP);
}

static void assert_all_owned(void)
{
    assert_owned("state/db");
    assert_owned(database);
    assert_owned("state/db/agent.db-wal");
    assert_owned("state/db/agent.db-shm");
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

/* What a killed run, or a tool run by root, left to the wrong user. */
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

/* Giving away a file with a second name would give away whatever the other name is. */
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

/* SQLite would open it all the same, and begin transactions that come to nothing. */
static void test_read_only_file(void **state)
{
    (void)state;
    OK(open_scratch(STORE_OPEN_CREATE, 100, &error));
    shell("chmod 400 state/db/agent.db");
    if (geteuid() == 0)
        shell("chown -R %d state", OWNER);
    in_child(open_read_only);
}

/* A disk without room, as a limit on the size of files. */
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

static void assert_corrupt(const char *reason)
{
    cleanup_free char *db = mem_copy_text(in_scratch("state/db"));
    cleanup_free char *expected =
        mem_format("the store %s/agent.db is damaged (%s): move the directory %s away and run "
                   "`felhomctl init`; each guest gets a new token at its next start",
                   db, reason, db);
    FAILS(open_scratch(STORE_OPEN_CREATE, 100, &error), ERROR_CORRUPT, expected);
}

static void test_not_a_database(void **state)
{
    (void)state;
    shell("mkdir -m 700 state/db; echo 'this is no database, and rather long for one. %0200d'"
          " >state/db/agent.db; cp state/db/agent.db before",
          0);
    assert_corrupt("file is not a database");
    shell("cmp before state/db/agent.db");
}

static void test_truncated(void **state)
{
    (void)state;
    assert_int_equal(work(STORE_OPEN_CREATE, 8200), 0);
    shell("sqlite3 state/db/agent.db 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null;"
          " truncate -s 8192 state/db/agent.db");
    assert_corrupt("database disk image is malformed");
    shell("truncate -s 1000 state/db/agent.db");
    assert_corrupt("database disk image is malformed");
}

static void test_damaged_inside(void **state)
{
    (void)state;
    assert_int_equal(work(STORE_OPEN_CREATE, 8200), 0);
    shell("sqlite3 state/db/agent.db 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null;"
          " head -c 81920 /dev/zero | tr '\\0' '\\377' |"
          " dd of=state/db/agent.db bs=4096 seek=1 conv=notrunc 2>/dev/null");
    cleanup_store struct store *store = NULL;
    OK(store_open(in_scratch("state"), STORE_OPEN_EXISTING, 100, &store, &error));
    struct guest guest;
    assert_int_equal(guest_find(store, 8200, &guest, &error), -1);
    assert_int_equal(error.kind, ERROR_CORRUPT);
}

/* What the message advises. */
static void test_fresh_start_after_damage(void **state)
{
    (void)state;
    assert_int_equal(work(STORE_OPEN_CREATE, 8200), 0);
    shell("echo garbage, garbage, garbage >state/db/agent.db; mv state/db state/db.damaged");
    assert_int_equal(work(STORE_OPEN_CREATE, 8200), 0);
    assert_whole();
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

/* --- many at once --- */

static void run_together(int count, enum store_open_mode mode)
{
    int failures = 0;
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < count; i++)
        if (fork() == 0) {
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

/* Runs hold in a child, which then says that it is ready and stays until it is killed. */
static pid_t hold(void (*what)(void))
{
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
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
    assert_in_range(clock_steady_us() - started, 150000, 1500000);
    FAILS(guest_put(store, &guest, &error), ERROR_BUSY, "the store is locked by another process");
    /* Reading goes on, without what is not committed. */
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
    assert_in_range(clock_steady_us() - started, 150000, 1500000);
    end(child);
    OK(open_scratch(STORE_OPEN_EXISTING, 150, &error));
}

static void test_lock_that_is_given_back_in_time(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    pid_t child = hold(begin_and_write);
    pid_t killer = fork();
    if (killer == 0) {
        (void)usleep(100000);
        _exit(kill(child, SIGKILL));
    }
    OK(store_begin(store, &error));
    store_rollback(store);
    assert_int_equal(waitpid(killer, NULL, 0), killer);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static int expect_busy(void)
{
    cleanup_store struct store *store = NULL;
    struct error failure = {0};
    EXPECT(store_open(in_scratch("state"), STORE_OPEN_EXISTING, 50, &store, &failure) == 0);
    EXPECT(store_begin(store, &failure) == -1);
    EXPECT(failure.kind == ERROR_BUSY);
    return 0;
}

/* POSIX locks go with the first descriptor of a file that a process closes: opening and closing
 * once more must not be one. */
static void test_second_handle_keeps_the_locks_of_the_first(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    OK(store_begin(store, &error));
    OK(open_scratch(STORE_OPEN_CREATE, 100, &error));
    in_child(expect_busy);
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

/* So much that part of it has left the memory for the log before the end. */
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
    pid_t child = fork();
    assert_true(child >= 0);
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

/* Openers that come one by one never share the log's index, and still the log must not grow without
 * end. */
static void test_log_is_bounded(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(work(STORE_OPEN_CREATE, 8200), 0);
    assert_in_range(status_of("state/db/agent.db-wal").st_size, 0, 200 * 4120);
    assert_raw("SELECT generation FROM guest", "100");
    assert_whole();
}

/* A reader in the way puts off the emptying of the log; nobody waits for that. */
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
    assert_true(clock_steady_us() - started < BUSY_MS * 1000LL);
    (void)sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(reader), SQLITE_OK);
    assert_whole();
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
        store_test(test_not_a_database),
        store_test(test_truncated),
        store_test(test_damaged_inside),
        store_test(test_fresh_start_after_damage),
        store_test(test_empty_file_is_brought_up),
        store_test(test_failing_migration_leaves_nothing),
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
