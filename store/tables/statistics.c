/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/statistics.h"

#include <string.h>
#include <sys/stat.h>

#include "schema/base/memory.h"
#include "store/db/sql.h"

int overview_get(struct store *store, int64_t now_ms, struct overview *ret, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store,
                        "SELECT (SELECT count(*) FROM guest WHERE state = 'starting'),"
                        " (SELECT count(*) FROM guest WHERE state = 'running'),"
                        " (SELECT count(*) FROM guest WHERE state = 'stopping'),"
                        " (SELECT count(*) FROM guest WHERE state = 'stopped'),"
                        " (SELECT count(*) FROM token WHERE revoked_at_ms IS NULL"
                        "  AND (expires_at_ms = 0 OR expires_at_ms > ?1)),"
                        " (SELECT count(*) FROM token WHERE revoked_at_ms IS NULL"
                        "  AND expires_at_ms <> 0 AND expires_at_ms <= ?1),"
                        " (SELECT count(*) FROM token WHERE revoked_at_ms IS NOT NULL),"
                        " (SELECT count(*) FROM job WHERE finished_at_ms IS NULL),"
                        " (SELECT count(*) FROM event)",
                        sql_values(sql_int(now_ms)), &query, error);
    if (row < 0)
        return -1;
    *ret = (struct overview){
        .guests_starting = sql_column_int(&query, 0),
        .guests_running = sql_column_int(&query, 1),
        .guests_stopping = sql_column_int(&query, 2),
        .guests_stopped = sql_column_int(&query, 3),
        .tokens_good = sql_column_int(&query, 4),
        .tokens_expired = sql_column_int(&query, 5),
        .tokens_revoked = sql_column_int(&query, 6),
        .jobs_running = sql_column_int(&query, 7),
        .events = sql_column_int(&query, 8),
    };
    return 0;
}

static struct token_row read_token(const struct sql_query *query)
{
    struct token_row token = {
        .generation = sql_column_int(query, 1),
        .created_at_ms = sql_column_int(query, 2),
        .expires_at_ms = sql_column_int(query, 3),
        .revoked_at_ms = sql_column_int(query, 4),
        .revoked_reason = sql_column_text(query, 5),
    };
    sql_column_copy(query, 0, token.id, sizeof token.id);
    return token;
}

int token_each(struct store *store, uint32_t vmid,
               int (*visit)(const struct token_row *token, void *context), void *context,
               struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store,
                        "SELECT id, generation, created_at_ms, expires_at_ms,"
                        " ifnull(revoked_at_ms, 0), ifnull(revoked_reason, '') FROM token"
                        " WHERE vmid = ?1 ORDER BY generation DESC",
                        sql_values(sql_int(vmid)), &query, error);
    for (; row > 0; row = sql_step(&query, error)) {
        struct token_row token = read_token(&query);
        int verdict = visit(&token, context);
        if (verdict)
            return verdict;
    }
    return row;
}

int nic_each(struct store *store, uint32_t vmid,
             int (*visit)(const struct nic_row *nic, void *context), void *context,
             struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store,
                        "SELECT key, ifnull(hwaddr, ''), bridge, ip FROM nic WHERE vmid = ?1"
                        " ORDER BY length(key), key",
                        sql_values(sql_int(vmid)), &query, error);
    for (; row > 0; row = sql_step(&query, error)) {
        struct nic_row nic = {sql_column_text(&query, 0), sql_column_text(&query, 1),
                              sql_column_text(&query, 2), sql_column_text(&query, 3)};
        int verdict = visit(&nic, context);
        if (verdict)
            return verdict;
    }
    return row;
}

int census_tokens(struct store *store, int64_t now_ms, struct census_tokens *ret,
                  struct error *error)
{
    cleanup_query struct sql_query query = {0};
    if (sql_first(store,
                  "SELECT count(*), count(revoked_at_ms),"
                  " count(*) FILTER (WHERE revoked_at_ms IS NULL"
                  " AND expires_at_ms <> 0 AND expires_at_ms <= ?1) FROM token",
                  sql_values(sql_int(now_ms)), &query, error) < 0)
        return -1;
    ret->revoked = sql_column_int(&query, 1);
    ret->expired = sql_column_int(&query, 2);
    ret->good = sql_column_int(&query, 0) - ret->revoked - ret->expired;
    return 0;
}

static enum job_kind kind_of(const char *name)
{
    enum job_kind kind = JOB_SNAPSHOT;
    while (kind < JOB_BACKUP && strcmp(job_kind_name(kind), name) != 0)
        kind++;
    return kind;
}

static enum job_phase phase_of(const char *name)
{
    enum job_phase phase = JOB_RUNNING;
    while (phase < JOB_FAILED && strcmp(job_phase_name(phase), name) != 0)
        phase++;
    return phase;
}

int census_jobs(struct store *store, struct census_jobs *ret, struct error *error)
{
    struct census_jobs jobs = {0};
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, "SELECT kind, phase, count(*) FROM job GROUP BY kind, phase",
                        SQL_NO_VALUES, &query, error);
    for (; row > 0; row = sql_step(&query, error))
        jobs.count[kind_of(sql_column_text(&query, 0))][phase_of(sql_column_text(&query, 1))] =
            sql_column_int(&query, 2);
    if (row == 0)
        *ret = jobs;
    return row;
}

static int64_t file_bytes(const char *path)
{
    struct stat file;
    return stat(path, &file) == 0 ? (int64_t)file.st_size : 0;
}

int64_t census_bytes(const struct store *store)
{
    cleanup_free char *log = mem_format("%s-wal", store->path);
    return file_bytes(store->path) + file_bytes(log);
}

static int64_t column_time(const struct sql_query *query, int column)
{
    return sql_column_is_null(query, column) ? CENSUS_NEVER : sql_column_int(query, column);
}

static enum guest_state state_of(const char *name)
{
    enum guest_state state = GUEST_STARTING;
    while (state < GUEST_STOPPED && strcmp(guest_state_name(state), name) != 0)
        state++;
    return state;
}

static struct census_guest read_guest(const struct sql_query *query)
{
    bool qemu = strcmp(sql_column_text(query, 1), guest_kind_name(GUEST_QEMU)) == 0;
    return (struct census_guest){
        .vmid = (uint32_t)sql_column_int(query, 0),
        .kind = qemu ? GUEST_QEMU : GUEST_LXC,
        .state = state_of(sql_column_text(query, 2)),
        .name = sql_column_text(query, 3),
        .token_at_ms = column_time(query, 4),
        .backup_at_ms = column_time(query, 5),
        .tested_at_ms = column_time(query, 6),
        .test_passed = sql_column_int(query, 7) != 0,
    };
}

int census_guests(struct store *store, int64_t now_ms,
                  int (*visit)(const struct census_guest *guest, void *context), void *context,
                  struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store,
                        "SELECT vmid, kind, state, name,"
                        " (SELECT max(created_at_ms) FROM token WHERE token.vmid = guest.vmid"
                        "   AND revoked_at_ms IS NULL"
                        "   AND (expires_at_ms = 0 OR expires_at_ms > ?1)),"
                        " (SELECT at_ms FROM backup WHERE backup.vmid = guest.vmid),"
                        " finished_at_ms, ifnull(passed, 0)"
                        " FROM guest LEFT JOIN restore_test USING (vmid) ORDER BY vmid",
                        sql_values(sql_int(now_ms)), &query, error);
    for (; row > 0; row = sql_step(&query, error)) {
        const struct census_guest guest = read_guest(&query);
        int verdict = visit(&guest, context);
        if (verdict)
            return verdict;
    }
    return row;
}
