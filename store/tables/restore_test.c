/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/restore_test.h"

#include "schema/base/memory.h"
#include "store/db/sql.h"
#include "store/tables/event.h"

int restore_test_begin(struct store *store, const struct restore_test *test, struct error *error)
{
    return sql_run(store,
                   "INSERT OR REPLACE INTO restore_test"
                   " (vmid, spare_vmid, archive, passed, error, started_at_ms, finished_at_ms)"
                   " VALUES (?1, ?2, ?3, 0, '', ?4, NULL)",
                   sql_values(sql_int(test->vmid), sql_int(test->spare_vmid),
                              sql_text(test->archive), sql_int(test->started_at_ms)),
                   error);
}

static int expect_changed(const struct store *store, uint32_t vmid, struct error *error)
{
    if (sql_changes(store))
        return 0;
    return fail(error, ERROR_MISSING, "the store knows no restore test of guest %u", vmid);
}

static int set_result(struct store *store, uint32_t vmid, const char *problem, int64_t now_ms,
                      struct error *error)
{
    if (sql_run(store,
                "UPDATE restore_test SET passed = ?2, error = ?3, finished_at_ms = ?4"
                " WHERE vmid = ?1",
                sql_values(sql_int(vmid), sql_int(!problem), sql_text(problem ? problem : ""),
                           sql_int(now_ms)),
                error) < 0)
        return -1;
    return expect_changed(store, vmid, error);
}

static int add_event(struct store *store, uint32_t vmid, const char *problem, int64_t now_ms,
                     struct error *error)
{
    struct restore_test test;
    if (restore_test_get(store, vmid, &test, error) < 0)
        return -1;
    cleanup_free char *detail = problem
                                    ? mem_format("%s: %s", test.archive, problem)
                                    : mem_format("%s was restored, and the copy ran", test.archive);
    const struct event event = {
        .at_ms = now_ms,
        .vmid = vmid,
        .kind = "restore-test",
        .outcome = problem ? "error" : "ok",
        .detail = detail,
        .duration_us = now_ms < test.started_at_ms ? -1 : (now_ms - test.started_at_ms) * 1000,
    };
    return event_add(store, &event, error);
}

int restore_test_finish(struct store *store, uint32_t vmid, const char *problem, int64_t now_ms,
                        struct error *error)
{
    cleanup_scope struct sql_scope scope = {0};
    if (sql_scope_enter(store, &scope, error) < 0 ||
        set_result(store, vmid, problem, now_ms, error) < 0 ||
        add_event(store, vmid, problem, now_ms, error) < 0)
        return -1;
    return sql_scope_commit(&scope, error);
}

int restore_test_forget_spare(struct store *store, uint32_t vmid, struct error *error)
{
    if (sql_run(store, "UPDATE restore_test SET spare_vmid = 0 WHERE vmid = ?1",
                sql_values(sql_int(vmid)), error) < 0)
        return -1;
    return expect_changed(store, vmid, error);
}

#define SELECT_TEST \
    "SELECT vmid, spare_vmid, archive, passed, error, started_at_ms," \
    " ifnull(finished_at_ms, 0) FROM restore_test"

static void read_test(const struct sql_query *query, struct restore_test *ret)
{
    *ret = (struct restore_test){
        .vmid = (uint32_t)sql_column_int(query, 0),
        .spare_vmid = (uint32_t)sql_column_int(query, 1),
        .passed = sql_column_int(query, 3) != 0,
        .started_at_ms = sql_column_int(query, 5),
        .finished_at_ms = sql_column_int(query, 6),
    };
    sql_column_copy(query, 2, ret->archive, sizeof ret->archive);
    sql_column_copy(query, 4, ret->error, sizeof ret->error);
}

int restore_test_get(struct store *store, uint32_t vmid, struct restore_test *ret,
                     struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row =
        sql_first(store, SELECT_TEST " WHERE vmid = ?1", sql_values(sql_int(vmid)), &query, error);
    if (row < 0)
        return -1;
    if (row == 0)
        *ret = (struct restore_test){.vmid = 0};
    else
        read_test(&query, ret);
    return 0;
}

int restore_test_each(struct store *store,
                      int (*visit)(const struct restore_test *test, void *context), void *context,
                      struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, SELECT_TEST " ORDER BY vmid", SQL_NO_VALUES, &query, error);
    for (; row > 0; row = sql_step(&query, error)) {
        struct restore_test test;
        read_test(&query, &test);
        int verdict = visit(&test, context);
        if (verdict)
            return verdict;
    }
    return row;
}
