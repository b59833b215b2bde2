/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_peek.h"

#include <errno.h>
#include <sqlite3.h>
#include <unistd.h>

#include "schema/cleanup.h"
#include "schema/memory.h"

static void close_connection(sqlite3 **connection)
{
    (void)sqlite3_close(*connection);
}

static void finish_statement(sqlite3_stmt **statement)
{
    (void)sqlite3_finalize(*statement);
}

/* Without a write-ahead log the file is complete by itself; SQLite would make a log even to read it
 * unless told that nobody writes. */
static char *uri_of(const char *path)
{
    cleanup_free char *log = mem_format("%s-wal", path);
    return mem_format("file:%s?mode=ro%s", path, access(log, F_OK) == 0 ? "" : "&immutable=1");
}

static int fail_reading(struct error *error, const char *path, sqlite3 *connection)
{
    return fail(error, ERROR_CORRUPT, "cannot read the store %s: %s", path,
                sqlite3_errmsg(connection));
}

int store_peek_version(const char *state_dir, int *ret, struct error *error)
{
    cleanup_free char *path = mem_format("%s/db/agent.db", state_dir);
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return fail(error, ERROR_MISSING, "there is no store %s", path);
    if (access(path, R_OK) < 0)
        return fail_errno(error, errno, "cannot read the store %s", path);
    cleanup_free char *uri = uri_of(path);
    cleanup(close_connection) sqlite3 *connection = NULL;
    cleanup(finish_statement) sqlite3_stmt *statement = NULL;
    if (sqlite3_open_v2(uri, &connection, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL) !=
            SQLITE_OK ||
        sqlite3_prepare_v2(connection, "PRAGMA user_version", -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        return fail_reading(error, path, connection);
    *ret = sqlite3_column_int(statement, 0);
    return 0;
}
