/* SPDX-License-Identifier: Apache-2.0 */
/* What SQLite's failures mean to an operator. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/db/database_file.h"
#include "store/db/sql.h"

static int fail_damaged(struct store *store, struct error *error)
{
    return database_file_damaged(store->path, sqlite3_errmsg(store->connection), error);
}

static int fail_constraint(struct store *store, struct error *error)
{
    if (sqlite3_extended_errcode(store->connection) == SQLITE_CONSTRAINT_FOREIGNKEY)
        return fail(error, ERROR_MISSING, "the store knows no such guest");
    return fail(error, ERROR_INVALID, "the store refuses it: %s",
                sqlite3_errmsg(store->connection));
}

int sql_fail_read_only(struct store *store, struct error *error)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        cleanup_free char *path = mem_format("%s%s", store->path, suffixes[i]);
        if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0 || errno == ENOENT)
            continue;
        if (errno == EROFS)
            return fail(error, ERROR_DENIED, "the store %s is on a read-only file system",
                        store->path);
        return fail(error, ERROR_DENIED, "the store %s may not be written by this user", path);
    }
    return fail(error, ERROR_SYSTEM,
                "the store %s or the log beside it could not be opened for writing, as where file "
                "descriptors or space run out",
                store->path);
}

static int fail_system(struct store *store, struct error *error)
{
    int errnum = sqlite3_system_errno(store->connection);
    const char *what = sqlite3_errmsg(store->connection);
    /* Of a log that it could not make; the database itself was there. */
    if (errnum == ENOENT)
        return sql_fail_read_only(store, error);
    if (errnum == 0) /* SQLite looks at it late */
        return fail(error, ERROR_SYSTEM, "the store %s: %s", store->path, what);
    return fail_errno(error, errnum, "the store %s: %s", store->path, what);
}

static int explain(struct store *store, struct error *error)
{
    int code = sqlite3_extended_errcode(store->connection);
    if (code == SQLITE_IOERR_SHORT_READ)
        return database_file_damaged(store->path, "it or its log was cut", error);
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_PROTOCOL:
        return fail(error, ERROR_BUSY, "the store is locked by another process");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return fail_damaged(store, error);
    case SQLITE_CONSTRAINT:
        return fail_constraint(store, error);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return sql_fail_read_only(store, error);
    case SQLITE_NOMEM:
        mem_exhausted();
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
        return fail_system(store, error);
    default:
        return fail(error, ERROR_SYSTEM, "the store %s: %s", store->path,
                    sqlite3_errmsg(store->connection));
    }
}

int sql_fail(struct store *store, struct error *error)
{
    (void)explain(store, error);
    return -1;
}
