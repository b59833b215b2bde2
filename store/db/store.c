/* SPDX-License-Identifier: Apache-2.0 */
#include "store/db/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schema/base/memory.h"
#include "store/db/database_file.h"
#include "store/db/migrations.h"
#include "store/db/sql.h"

int store_peek_version(const char *state_dir, int *ret, struct error *error)
{
    int64_t version;
    cleanup_store struct store *store = mem_new(struct store);
    cleanup_free char *real = realpath(state_dir, NULL);
    store->path = mem_format("%s/db/agent.db", real ? real : state_dir);
    if (access(store->path, F_OK) < 0 && errno == ENOENT)
        return fail(error, ERROR_MISSING, "there is no store %s", store->path);
    if (access(store->path, R_OK) < 0)
        return fail_errno(error, errno, "cannot read the store %s", store->path);
    if (sql_connect_read_only(store, error) < 0 ||
        sql_settle(store, "PRAGMA user_version", &version, error) < 0)
        return -1;
    *ret = (int)version;
    return 0;
}

int store_schema_version(void)
{
    return migration_count;
}

static int run_script(struct store *store, const char *script, struct error *error)
{
    if (sqlite3_exec(store->connection, script, NULL, NULL, NULL) != SQLITE_OK)
        return sql_fail(store, error);
    return 0;
}

static int read_version(struct store *store, int64_t *ret, struct error *error)
{
    if (sql_settle(store, "PRAGMA user_version", ret, error) < 0)
        return -1;
    if (*ret < 0 || *ret > migration_count)
        return fail(error, ERROR_NEWER,
                    "the store %s has version %lld, written by a newer felhom-agent; this one "
                    "knows versions up to %d: upgrade it",
                    store->path, (long long)*ret, migration_count);
    return 0;
}

/* One step up, unless another process made it since we looked. */
static int migrate_once(struct store *store, int64_t *version, struct error *error)
{
    cleanup_scope struct sql_scope scope = {0};
    if (sql_scope_enter(store, &scope, error) < 0 || read_version(store, version, error) < 0)
        return -1;
    if (*version == migration_count)
        return 0;
    int next = (int)*version + 1;
    cleanup_free char *script =
        mem_format("%s; PRAGMA user_version = %d", migrations[*version], next);
    if (run_script(store, script, error) < 0)
        return fail_context(error, "migration of %s to version %d", store->path, next);
    *version = next;
    return sql_scope_commit(&scope, error);
}

/* Nothing is set before the version is known: a newer program's database must stay as it is. */
static int bring_up(struct store *store, struct error *error)
{
    int64_t version = 0;
    int64_t ignored = 0;
    if (read_version(store, &version, error) < 0 ||
        sql_settle(store, "PRAGMA journal_mode = WAL", &ignored, error) < 0 ||
        sql_settle(store, "PRAGMA synchronous = FULL", &ignored, error) < 0)
        return -1;
    if (version == migration_count)
        return 0;
    while (version < migration_count)
        if (migrate_once(store, &version, error) < 0)
            return -1;
    sql_checkpoint(store); /* or a log that got lost would leave nothing at all */
    return 0;
}

void store_travel_light(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    (void)sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
}

int store_open(const char *state_dir, enum store_open_mode mode, uint32_t busy_ms,
               struct store **ret, struct error *error)
{
    cleanup_store struct store *store = mem_new(struct store);
    store->busy_ms = busy_ms;
    if (database_file_ready(state_dir, mode == STORE_OPEN_CREATE, &store->path, error) < 0 ||
        sql_connect(store, error) < 0 || bring_up(store, error) < 0)
        return -1;
    *ret = steal(store);
    return 0;
}

static int require_newest(struct store *store, struct error *error)
{
    int64_t version;
    if (read_version(store, &version, error) < 0)
        return -1;
    if (version == migration_count)
        return 0;
    if (version == 0)
        return fail(error, ERROR_MISSING, "the store %s is empty", store->path);
    return fail(error, ERROR_CONFLICT, "the store has version %d, this program's is %d",
                (int)version, migration_count);
}

int store_open_read_only(const char *state_dir, uint32_t busy_ms, struct store **ret,
                         struct error *error)
{
    cleanup_store struct store *store = mem_new(struct store);
    store->busy_ms = busy_ms;
    if (database_file_find(state_dir, &store->path, error) < 0 ||
        sql_connect_read_only(store, error) < 0 || require_newest(store, error) < 0)
        return -1;
    *ret = steal(store);
    return 0;
}

int store_check(struct store *store, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, "PRAGMA integrity_check(1)", SQL_NO_VALUES, &query, error);
    if (row < 0)
        return -1;
    const char *verdict = row > 0 ? sql_column_text(&query, 0) : "no answer";
    if (strcmp(verdict, "ok") == 0)
        return 0;
    const char *heading_end = strchr(verdict, '\n');
    return fail(error, ERROR_CORRUPT, "the store %s is damaged: %.200s", store->path,
                heading_end ? heading_end + 1 : verdict);
}

void store_close(struct store *store)
{
    if (!store)
        return;
    sql_disconnect(store);
    free(store->path);
    free(store);
}

int store_begin(struct store *store, struct error *error)
{
    return sql_run(store, "BEGIN IMMEDIATE", SQL_NO_VALUES, error);
}

int store_begin_view(struct store *store, struct error *error)
{
    return sql_run(store, "BEGIN", SQL_NO_VALUES, error);
}

int store_commit(struct store *store, struct error *error)
{
    return sql_run(store, "COMMIT", SQL_NO_VALUES, error);
}

void store_rollback(struct store *store)
{
    struct error ignored;
    if (!sqlite3_get_autocommit(store->connection))
        (void)sql_run(store, "ROLLBACK", SQL_NO_VALUES, &ignored);
}

int store_data_version(struct store *store, int64_t *ret, struct error *error)
{
    return sql_settle(store, "PRAGMA data_version", ret, error);
}

bool store_has_written(const struct store *store)
{
    return sqlite3_total_changes(store->connection) > 0;
}
