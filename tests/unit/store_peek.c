/* SPDX-License-Identifier: Apache-2.0 */
#include "store/db/store.h"

#include <sqlite3.h>

#include "tests/unit/scratch.h"

static struct store *open_store(void)
{
    struct store *store;
    struct error error;
    assert_int_equal(store_open(scratch, STORE_OPEN_CREATE, 1000, &store, &error), 0);
    return store;
}

static void set_version(int version)
{
    char sql[64];
    sqlite3 *connection;
    (void)snprintf(sql, sizeof sql, "PRAGMA user_version = %d", version);
    assert_int_equal(sqlite3_open(in_scratch("db/agent.db"), &connection), SQLITE_OK);
    assert_int_equal(sqlite3_exec(connection, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(connection), SQLITE_OK);
}

static void assert_version(int expected)
{
    struct error error;
    int version = -1;
    assert_int_equal(store_peek_version(scratch, &version, &error), 0);
    assert_int_equal(version, expected);
}

static void test_nothing_is_made_where_there_is_none(void **state)
{
    (void)state;
    struct error error;
    int version;
    assert_int_equal(store_peek_version(scratch, &version, &error), -1);
    assert_int_equal(error.kind, ERROR_MISSING);
    shell("test -z \"$(ls -A)\"");
}

static void test_a_closed_store_is_not_touched(void **state)
{
    (void)state;
    store_close(open_store());
    shell("(ls db; cksum db/agent.db) >before");
    assert_version(store_schema_version());
    shell("(ls db; cksum db/agent.db) | cmp - before");
}

static void test_a_store_without_a_log_gets_none(void **state)
{
    (void)state;
    store_close(open_store());
    set_version(7);
    shell("test \"$(ls db)\" = agent.db");
    assert_version(7);
    shell("test \"$(ls db)\" = agent.db");
}

static void test_an_open_store_is_read_with_its_log(void **state)
{
    (void)state;
    struct store *store = open_store();
    set_version(7);
    assert_version(7);
    store_close(store);
}

static void test_a_newer_store(void **state)
{
    (void)state;
    store_close(open_store());
    set_version(99);
    assert_version(99);
}

static void test_no_database(void **state)
{
    (void)state;
    struct error error;
    int version;
    shell("mkdir db && yes | head -c 8192 >db/agent.db");
    assert_int_equal(store_peek_version(scratch, &version, &error), -1);
    assert_int_equal(error.kind, ERROR_CORRUPT);
}

#define TEST(function) scratch_test(function, scratch_make)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_is_made_where_there_is_none),
        TEST(test_a_closed_store_is_not_touched),
        TEST(test_a_store_without_a_log_gets_none),
        TEST(test_an_open_store_is_read_with_its_log),
        TEST(test_a_newer_store),
        TEST(test_no_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
