/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/statistics.h"

#include <sys/stat.h>

#include "schema/base/memory.h"
#include "store/db/sql.h"

/* One row with the numbers of good, expired and revoked tokens. */
#define COUNT_TOKENS \
    "SELECT count(*) FILTER (WHERE revoked_at_ms IS NULL" \
    " AND (expires_at_ms = 0 OR expires_at_ms > ?1)) AS good," \
    " count(*) FILTER (WHERE revoked_at_ms IS NULL" \
    " AND expires_at_ms <> 0 AND expires_at_ms <= ?1) AS expired," \
    " count(revoked_at_ms) AS revoked FROM token"

static struct statistics_tokens token_counts_from_row(const struct sql_query *query)
{
    return (struct statistics_tokens){sql_column_int(query, 0), sql_column_int(query, 1),
                                      sql_column_int(query, 2)};
}

int statistics_tokens(struct store *store, int64_t now_ms, struct statistics_tokens *ret,
                      struct error *error)
{
    cleanup_query struct sql_query query = {0};
    if (sql_first(store, COUNT_TOKENS, sql_values(sql_int(now_ms)), &query, error) < 0)
        return -1;
    *ret = token_counts_from_row(&query);
    return 0;
}

int statistics_get(struct store *store, int64_t now_ms, struct statistics *ret, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    if (sql_first(store,
                  "SELECT good, expired, revoked,"
                  " (SELECT count(*) FROM guest WHERE state = 'starting'),"
                  " (SELECT count(*) FROM guest WHERE state = 'running'),"
                  " (SELECT count(*) FROM guest WHERE state = 'stopping'),"
                  " (SELECT count(*) FROM guest WHERE state = 'stopped'),"
                  " (SELECT count(*) FROM job WHERE finished_at_ms IS NULL),"
                  " (SELECT count(*) FROM event) FROM (" COUNT_TOKENS ")",
                  sql_values(sql_int(now_ms)), &query, error) < 0)
        return -1;
    *ret = (struct statistics){
        .tokens = token_counts_from_row(&query),
        .guests_starting = sql_column_int(&query, 3),
        .guests_running = sql_column_int(&query, 4),
        .guests_stopping = sql_column_int(&query, 5),
        .guests_stopped = sql_column_int(&query, 6),
        .jobs_running = sql_column_int(&query, 7),
        .events = sql_column_int(&query, 8),
    };
    return 0;
}

int statistics_jobs(struct store *store, struct statistics_jobs *ret, struct error *error)
{
    struct statistics_jobs jobs = {0};
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, "SELECT kind, phase, count(*) FROM job GROUP BY kind, phase",
                        SQL_NO_VALUES, &query, error);
    for (; row > 0; row = sql_step(&query, error))
        jobs.count[sql_column_choice(&query, 0, job_kind_names)]
                  [sql_column_choice(&query, 1, job_phase_names)] = sql_column_int(&query, 2);
    if (row == 0)
        *ret = jobs;
    return row;
}

static int64_t file_bytes(const char *path)
{
    struct stat file;
    return stat(path, &file) == 0 ? (int64_t)file.st_size : 0;
}

int64_t statistics_bytes(const struct store *store)
{
    cleanup_free char *log = mem_format("%s-wal", store->path);
    return file_bytes(store->path) + file_bytes(log);
}

static int64_t column_time(const struct sql_query *query, int column)
{
    return sql_column_is_null(query, column) ? STATISTICS_NEVER : sql_column_int(query, column);
}

static struct statistics_guest statistics_guest_from_row(const struct sql_query *query)
{
    return (struct statistics_guest){
        .vmid = (uint32_t)sql_column_int(query, 0),
        .kind = (enum guest_kind)sql_column_choice(query, 1, guest_kind_names),
        .state = (enum guest_state)sql_column_choice(query, 2, guest_state_names),
        .name = sql_column_text(query, 3),
        .token_at_ms = column_time(query, 4),
        .backup_at_ms = column_time(query, 5),
        .tested_at_ms = column_time(query, 6),
        .test_passed = sql_column_int(query, 7) != 0,
    };
}

int statistics_guests(struct store *store, int64_t now_ms,
                      int (*visit)(const struct statistics_guest *guest, void *context),
                      void *context, struct error *error)
{
    return sql_visit(store,
                     "SELECT vmid, kind, state, name,"
                     " (SELECT max(created_at_ms) FROM token WHERE token.vmid = guest.vmid"
                     "   AND revoked_at_ms IS NULL"
                     "   AND (expires_at_ms = 0 OR expires_at_ms > ?1)),"
                     " (SELECT at_ms FROM backup WHERE backup.vmid = guest.vmid),"
                     " finished_at_ms, ifnull(passed, 0)"
                     " FROM guest LEFT JOIN restore_test USING (vmid) ORDER BY vmid",
                     sql_values(sql_int(now_ms)), struct statistics_guest,
                     statistics_guest_from_row, visit, context, error);
}
