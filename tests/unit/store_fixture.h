/* SPDX-License-Identifier: Apache-2.0 */
/* A store below the scratch directory, and another connection to look into it. */
#ifndef FELHOM_TEST_STORE_FIXTURE_H
#define FELHOM_TEST_STORE_FIXTURE_H

#include <sqlite3.h>

#include "store/db/store.h"
#include "store/tables/guest.h"
#include "tests/unit/expect.h"
#include "tests/unit/scratch.h"

#define BUSY_MS 600000

/* SCRATCH/state, empty. */
static inline int state_make(void **state)
{
    return scratch_make(state) || mkdir(in_scratch("state"), 0755) || chmod(scratch, 0711);
}

static inline struct store *store_of_scratch(void)
{
    struct store *store = NULL;
    OK(store_open(in_scratch("state"), STORE_OPEN_CREATE, BUSY_MS, &store, &error));
    return store;
}

static inline struct guest guest_named(uint32_t vmid, const char *name)
{
    struct guest guest = {.vmid = vmid,
                          .state = GUEST_STARTING,
                          .root_uid = 100000,
                          .root_gid = 100000,
                          .mount_form = "entry",
                          .changed_at_ms = 1000};
    (void)snprintf(guest.name, sizeof guest.name, "%s", name);
    return guest;
}

static inline void put_guest(struct store *store, uint32_t vmid)
{
    struct guest guest = guest_named(vmid, "web");
    OK(guest_put(store, &guest, &error));
}

/* Another connection to the same database, as any SQLite program would make it. */
static inline sqlite3 *connect_raw(void)
{
    sqlite3 *connection = NULL;
    assert_int_equal(sqlite3_open(in_scratch("state/db/agent.db"), &connection), SQLITE_OK);
    (void)sqlite3_busy_timeout(connection, BUSY_MS);
    (void)sqlite3_db_config(connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return connection;
}

static inline void run_raw(const char *sql)
{
    sqlite3 *connection = connect_raw();
    if (sqlite3_exec(connection, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_test("%s: %s", sql, sqlite3_errmsg(connection));
    assert_int_equal(sqlite3_close(connection), SQLITE_OK);
}

/* Returns the first column of the first row, in memory that the caller frees. */
static inline char *text_raw(const char *sql)
{
    sqlite3 *connection = connect_raw();
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(connection, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        fail_test("%s: %s", sql, sqlite3_errmsg(connection));
    const char *text = (const char *)sqlite3_column_text(statement, 0);
    char *copy = mem_copy_text(text ? text : "");
    (void)sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(connection), SQLITE_OK);
    return copy;
}

static inline void assert_raw(const char *sql, const char *expected)
{
    cleanup_free char *text = text_raw(sql);
    assert_string_equal(text, expected);
}

#define store_test(function) cmocka_unit_test_setup_teardown(function, state_make, scratch_remove)

#endif
