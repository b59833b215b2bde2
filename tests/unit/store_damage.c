/* SPDX-License-Identifier: Apache-2.0 */
/* A damaged database, or a damaged log. */
#include "tests/unit/test.h"

#include "tests/unit/store_fixture.h"
#include "tests/unit/store_work.h"

static void assert_corrupt(const char *reason)
{
    cleanup_free char *db = mem_copy_text(in_scratch("state/db"));
    cleanup_free char *expected =
        mem_format("the store %s/agent.db is damaged (%s): move the directory %s away and run "
                   "`felhomctl init`, then `felhomctl rotate --all` for the guests that run",
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
          " page=$(sqlite3 state/db/agent.db"
          "   \"SELECT rootpage FROM sqlite_schema WHERE name = 'guest'\");"
          " head -c 4096 /dev/zero | tr '\\0' '\\377' |"
          " dd of=state/db/agent.db bs=4096 seek=$((page - 1)) conv=notrunc 2>/dev/null");
    cleanup_store struct store *store = NULL;
    OK(store_open(in_scratch("state"), STORE_OPEN_EXISTING, 100, &store, &error));
    struct guest guest;
    assert_int_equal(guest_find(store, 8200, &guest, &error), -1);
    assert_int_equal(error.kind, ERROR_CORRUPT);
}

/* A schema whose names are anything at all. The header of each row of it is still good. */
static void rename_guest_table(const char *bytes)
{
    cleanup_free char *sql =
        mem_format("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET name = CAST(x'%s' AS"
                   " TEXT), tbl_name = CAST(x'%s' AS TEXT), sql = CAST(x'%s' AS TEXT)"
                   " WHERE name = 'guest'",
                   bytes, bytes, bytes);
    run_raw(sql);
}

static void assert_plain(const char *text)
{
    for (const char *c = text; *c; c++)
        if (*c < ' ' || *c > '~')
            fail_test("the byte %#x is shown", (unsigned int)(unsigned char)*c);
}

/* The terminal that shows the task's output would obey what stands there. */
static void test_bytes_of_a_damaged_schema_are_not_shown(void **state)
{
    (void)state;
    assert_int_equal(work(STORE_OPEN_CREATE, 8200), 0);
    rename_guest_table("1b5d303b61071b5b324aff0a9b31");
    assert_int_equal(open_scratch(STORE_OPEN_EXISTING, 100, &error), -1);
    assert_int_equal(error.kind, ERROR_CORRUPT);
    assert_non_null(strstr(error.message, "malformed database schema (?]0;a"));
    assert_plain(error.message);
}

static void test_the_check_shows_none_either(void **state)
{
    (void)state;
    cleanup_store struct store *store = NULL;
    assert_int_equal(work(STORE_OPEN_CREATE, 8200), 0);
    run_raw("CREATE INDEX strange ON guest (name); PRAGMA writable_schema = ON;"
            " UPDATE sqlite_schema SET name = CAST(x'1b5b324aff' AS TEXT), sql = 'CREATE INDEX ' ||"
            " char(34) || CAST(x'1b5b324aff' AS TEXT) || char(34) || ' ON guest (kind)'"
            " WHERE name = 'strange'");
    OK(store_open(in_scratch("state"), STORE_OPEN_EXISTING, 100, &store, &error));
    assert_int_equal(store_check(store, &error), -1);
    assert_non_null(strstr(error.message, "index ?[2J?"));
    assert_plain(error.message);
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

static void test_an_empty_database_beside_its_log_is_refused(void **state)
{
    (void)state;
    OK(open_scratch(STORE_OPEN_CREATE, 100, &error));
    assert_int_equal(work(STORE_OPEN_EXISTING, 8200), 0);
    shell("test -s state/db/agent.db-wal && : >state/db/agent.db");
    assert_int_equal(open_scratch(STORE_OPEN_CREATE, 100, &error), -1);
    assert_int_equal(error.kind, ERROR_CORRUPT);
    cleanup_free char *expected =
        mem_format("the store %s is damaged (it is empty beside its log):", in_scratch(database));
    assert_memory_equal(error.message, expected, strlen(expected));
    shell(": >state/db/agent.db-wal");
    OK(open_scratch(STORE_OPEN_CREATE, 100, &error));
}

/* A lost log loses rows, but not tables. */
static void test_a_new_schema_is_in_the_database_itself(void **state)
{
    (void)state;
    OK(open_scratch(STORE_OPEN_CREATE, 100, &error));
    shell("rm state/db/agent.db-*");
    assert_raw("SELECT count(*) FROM guest", "0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(test_not_a_database),
        store_test(test_truncated),
        store_test(test_damaged_inside),
        store_test(test_bytes_of_a_damaged_schema_are_not_shown),
        store_test(test_the_check_shows_none_either),
        store_test(test_fresh_start_after_damage),
        store_test(test_an_empty_database_beside_its_log_is_refused),
        store_test(test_a_new_schema_is_in_the_database_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
