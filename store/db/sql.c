/* SPDX-License-Identifier: Apache-2.0 */
#include "store/db/sql.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "store/base/clock.h"

/* --- what SQLite's errors mean to an operator --- */

char *sql_plain(const char *text)
{
    char *plain = mem_copy_text_n(text, SQL_PLAIN_LENGTH);
    for (char *c = plain; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return plain;
}

int sql_fail_damaged(const char *path, const char *why, struct error *error)
{
    int folder = (int)(strrchr(path, '/') - path);
    return fail(error, ERROR_CORRUPT,
                "the store %s is damaged (%s): move the directory %.*s away and run `felhomctl "
                "init`, then `felhomctl rotate --all` for the guests that run",
                path, why, folder, path);
}

static int sql_fail_constraint(struct store *store, struct error *error)
{
    if (sqlite3_extended_errcode(store->connection) == SQLITE_CONSTRAINT_FOREIGNKEY)
        return fail(error, ERROR_MISSING, "the store knows no such guest");
    cleanup_free char *why = sql_plain(sqlite3_errmsg(store->connection));
    return fail(error, ERROR_INVALID, "the store refuses it: %s", why);
}

/*
 * Fails with the reason why the store cannot be written. If SQLite cannot open a file for writing,
 * it silently opens it for reading and reports only the consequences; this function finds the
 * cause. Returns -1.
 */
static int sql_fail_read_only(struct store *store, struct error *error)
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

static int sql_fail_system(struct store *store, struct error *error)
{
    int errnum = sqlite3_system_errno(store->connection);
    cleanup_free char *what = sql_plain(sqlite3_errmsg(store->connection));
    /* The database file exists, so ENOENT means that SQLite could not create the log. */
    if (errnum == ENOENT)
        return sql_fail_read_only(store, error);
    if (errnum == 0) /* SQLite has no errno for this error */
        return fail(error, ERROR_SYSTEM, "the store %s: %s", store->path, what);
    return fail_errno(error, errnum, "the store %s: %s", store->path, what);
}

static int sql_explain_failure(struct store *store, struct error *error)
{
    int code = sqlite3_extended_errcode(store->connection);
    cleanup_free char *why = sql_plain(sqlite3_errmsg(store->connection));
    if (code == SQLITE_IOERR_SHORT_READ)
        return sql_fail_damaged(store->path, "it or its log was cut", error);
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_PROTOCOL:
        return fail(error, ERROR_BUSY, "the store is locked by another process");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return sql_fail_damaged(store->path, why, error);
    case SQLITE_CONSTRAINT:
        return sql_fail_constraint(store, error);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return sql_fail_read_only(store, error);
    case SQLITE_NOMEM:
        mem_exhausted();
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
        return sql_fail_system(store, error);
    default:
        return fail(error, ERROR_SYSTEM, "the store %s: %s", store->path, why);
    }
}

int sql_fail(struct store *store, struct error *error)
{
    (void)sql_explain_failure(store, error);
    return -1;
}

/* Small, because the only opener of a database must read the whole log to find its end; large
 * enough for several guest starts between two checkpoints. */
#define CHECKPOINT_PAGES 128

#define WAIT_LONGEST_MS 20

/* --- connection --- */

/* SQLite's own busy handler waits up to 100 ms between tries, which is too long when hooks hold the
 * lock for 2 ms each. */
static void sql_pause_before_retry(int count)
{
    int64_t ms = count < WAIT_LONGEST_MS ? count + 1 : WAIT_LONGEST_MS;
    (void)nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static int64_t busy_deadline(const struct store *store)
{
    return clock_steady_us() + (int64_t)store->busy_ms * 1000;
}

/* SQLite calls this with count 0 when a new wait begins; that sets the deadline. */
static int sql_wait_for_lock(void *context, int count)
{
    struct store *store = context;
    if (count == 0)
        store->deadline_us = busy_deadline(store);
    if (clock_steady_us() >= store->deadline_us)
        return 0;
    sql_pause_before_retry(count);
    return 1;
}

/* The database file may belong to a user with fewer privileges than this process, so nothing in its
 * schema is trusted. */
static void sql_configure_connection(sqlite3 *connection)
{
    static const struct {
        int option;
        int value;
    } options[] = {
        {SQLITE_DBCONFIG_ENABLE_FKEY, 1},      {SQLITE_DBCONFIG_DEFENSIVE, 1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},   {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        (void)sqlite3_db_config(connection, options[i].option, options[i].value, NULL);
}

/*
 * After SQLite's own checkpoint, the log is restarted by the next writer that shares the wal-index.
 * Hooks that run one at a time do not share it, so the log would grow without end. Therefore this
 * checkpoint truncates the log. It does not wait for locks: if another process is in the way, a
 * later commit will do.
 */
void sql_checkpoint(struct store *store)
{
    (void)sqlite3_busy_handler(store->connection, NULL, NULL);
    (void)sqlite3_wal_checkpoint_v2(store->connection, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
                                    NULL);
    (void)sqlite3_busy_handler(store->connection, sql_wait_for_lock, store);
}

static int sql_checkpoint_if_due(void *context, sqlite3 *connection, const char *schema, int pages)
{
    (void)connection;
    (void)schema;
    if (pages >= CHECKPOINT_PAGES)
        sql_checkpoint(context);
    return SQLITE_OK;
}

/* SQLite's memory statistics, which nobody uses, take a lock shared by all threads at every
 * allocation. The call has no effect if SQLite has already been initialised. */
static void sqlite_prepare_library(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static int sql_open_connection(struct store *store, const char *name, int flags,
                               struct error *error)
{
    flags |= SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_PRIVATECACHE |
             SQLITE_OPEN_EXRESCODE;
    static pthread_once_t prepared = PTHREAD_ONCE_INIT;
    (void)pthread_once(&prepared, sqlite_prepare_library);
    int code = sqlite3_open_v2(name, &store->connection, flags, NULL);
    if (!store->connection)
        mem_exhausted();
    return code == SQLITE_OK ? 0 : sql_fail(store, error);
}

int sql_connect(struct store *store, struct error *error)
{
    if (sql_open_connection(store, store->path, SQLITE_OPEN_READWRITE, error) < 0)
        return -1;
    if (sqlite3_db_readonly(store->connection, "main"))
        return sql_fail_read_only(store, error);
    (void)sqlite3_busy_handler(store->connection, sql_wait_for_lock, store);
    (void)sqlite3_wal_hook(store->connection, sql_checkpoint_if_due, store);
    sql_configure_connection(store->connection);
    return 0;
}

/* Without a write-ahead log the file is complete. Unless told that the file is immutable, SQLite
 * would create a log even to read it. */
int sql_connect_read_only(struct store *store, struct error *error)
{
    cleanup_free char *log = mem_format("%s-wal", store->path);
    cleanup_free char *uri =
        mem_format("file:%s?mode=ro%s", store->path, access(log, F_OK) == 0 ? "" : "&immutable=1");
    if (sql_open_connection(store, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, error) < 0)
        return -1;
    (void)sqlite3_busy_handler(store->connection, sql_wait_for_lock, store);
    sql_configure_connection(store->connection);
    return 0;
}

void sql_disconnect(struct store *store)
{
    for (size_t i = 0; i < store->prepared_count; i++)
        (void)sqlite3_finalize(store->prepared[i].statement);
    free(store->prepared);
    (void)sqlite3_close(store->connection);
}

/* --- statements --- */

struct sql_value sql_text(const char *text)
{
    return (struct sql_value){
        .type = text ? SQL_TEXT : SQL_NULL, .bytes = text, .length = text ? strlen(text) : 0};
}

struct sql_value sql_bytes(const void *bytes, size_t length)
{
    return (struct sql_value){
        .type = bytes ? SQL_BYTES : SQL_NULL, .bytes = bytes, .length = length};
}

static int statement_bind_value(sqlite3_stmt *statement, int index, const struct sql_value *value)
{
    switch (value->type) {
    case SQL_INT:
        return sqlite3_bind_int64(statement, index, value->number);
    case SQL_TEXT:
        return sqlite3_bind_text64(statement, index, value->bytes, value->length, SQLITE_STATIC,
                                   SQLITE_UTF8);
    case SQL_BYTES:
        return sqlite3_bind_blob64(statement, index, value->bytes, value->length, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(statement, index);
    }
}

/* Returns a prepared statement that is not in use. A statement in use cannot be shared; this
 * happens when a visitor runs the same query that it is called from. */
static sqlite3_stmt *statement_find_idle(const struct store *store, const char *sql)
{
    for (size_t i = 0; i < store->prepared_count; i++)
        if (store->prepared[i].sql == sql && !sqlite3_stmt_busy(store->prepared[i].statement))
            return store->prepared[i].statement;
    return NULL;
}

static sqlite3_stmt *statement_prepare(struct store *store, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(store->connection, sql, -1, &statement, NULL) != SQLITE_OK)
        return NULL;
    size_t count = store->prepared_count + 1;
    store->prepared = mem_resize(store->prepared, count, sizeof *store->prepared);
    store->prepared[store->prepared_count++] = (struct sql_prepared){sql, statement};
    return statement;
}

static int sql_start(struct store *store, const char *sql, struct sql_values values,
                     struct sql_query *ret, struct error *error)
{
    sqlite3_stmt *statement = statement_find_idle(store, sql);
    if (!statement)
        statement = statement_prepare(store, sql);
    if (!statement)
        return sql_fail(store, error);
    *ret = (struct sql_query){store, statement};
    for (size_t i = 0; i < values.count; i++)
        if (statement_bind_value(statement, (int)i + 1, &values.items[i]) != SQLITE_OK)
            return sql_fail(store, error);
    return 0;
}

int sql_step(struct sql_query *query, struct error *error)
{
    switch (sqlite3_step(query->statement)) {
    case SQLITE_ROW:
        return 1;
    case SQLITE_DONE:
        return 0;
    default:
        return sql_fail(query->store, error);
    }
}

void sql_query_end(struct sql_query *query)
{
    if (!query->statement)
        return;
    (void)sqlite3_reset(query->statement);
    (void)sqlite3_clear_bindings(query->statement);
    query->statement = NULL;
}

int sql_first(struct store *store, const char *sql, struct sql_values values, struct sql_query *ret,
              struct error *error)
{
    return sql_start(store, sql, values, ret, error) < 0 ? -1 : sql_step(ret, error);
}

int sql_run(struct store *store, const char *sql, struct sql_values values, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, sql, values, &query, error);
    while (row > 0)
        row = sql_step(&query, error);
    return row;
}

int sql_must_change(struct store *store, const char *sql, struct sql_values values,
                    struct error *error, enum error_kind kind, const char *format, ...)
{
    char message[sizeof error->message];
    va_list args;
    if (sql_run(store, sql, values, error) < 0)
        return -1;
    if (sql_changes(store))
        return 0;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return fail(error, kind, "%s", message);
}

int sql_number(struct store *store, const char *sql, struct sql_values values, int64_t *ret,
               struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, sql, values, &query, error);
    if (row < 0)
        return -1;
    *ret = row ? sql_column_int(&query, 0) : 0;
    return 0;
}

int sql_add_bytes(struct store *store, const char *sql, struct sql_values values,
                  struct buffer *out, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    size_t length = 0;
    int row = sql_first(store, sql, values, &query, error);
    if (row <= 0)
        return row;
    const void *bytes = sql_column_bytes(&query, 0, &length);
    if (length)
        buffer_add(out, bytes, length);
    return 0;
}

/* SQLITE_CANTOPEN is temporary, too: the log may just be missing, or not yet belong to the right
 * user. */
static bool failure_is_temporary(const struct store *store)
{
    int code = sqlite3_errcode(store->connection) & 0xff;
    return code == SQLITE_BUSY || code == SQLITE_PROTOCOL || code == SQLITE_CANTOPEN;
}

int sql_settle(struct store *store, const char *sql, int64_t *ret, struct error *error)
{
    struct error failure;
    int64_t deadline = busy_deadline(store);
    for (int count = 0; sql_number(store, sql, SQL_NO_VALUES, ret, &failure) < 0; count++) {
        if (!failure_is_temporary(store) || clock_steady_us() >= deadline) {
            *error = failure;
            return -1;
        }
        sql_pause_before_retry(count);
    }
    return 0;
}

int64_t sql_changes(const struct store *store)
{
    return sqlite3_changes64(store->connection);
}

/* --- columns --- */

int64_t sql_column_int(const struct sql_query *query, int column)
{
    return sqlite3_column_int64(query->statement, column);
}

const char *sql_column_text(const struct sql_query *query, int column)
{
    const unsigned char *text = sqlite3_column_text(query->statement, column);
    return text ? (const char *)text : "";
}

const void *sql_column_bytes(const struct sql_query *query, int column, size_t *ret_length)
{
    const void *bytes = sqlite3_column_blob(query->statement, column);
    *ret_length = (size_t)sqlite3_column_bytes(query->statement, column);
    return bytes;
}

bool sql_column_is_null(const struct sql_query *query, int column)
{
    return sqlite3_column_type(query->statement, column) == SQLITE_NULL;
}

void sql_column_copy(const struct sql_query *query, int column, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s", sql_column_text(query, column));
}

int sql_column_choice(const struct sql_query *query, int column, const char *const *names)
{
    int index = text_index(sql_column_text(query, column), names);
    return index < 0 ? 0 : index;
}
