/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thin layer between the modules in store/tables/ and SQLite: statements that are prepared once
 * per connection, typed values to bind, typed columns to read, and SQLite's error codes turned into
 * struct error. Only store/ includes it. SQL texts must be string literals, because a prepared
 * statement is found by the address of its text.
 */
#ifndef FELHOM_STORE_SQL_H
#define FELHOM_STORE_SQL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/error.h"

struct sql_prepared {
    const char *sql;
    sqlite3_stmt *statement;
};

/* A record that the next commit writes (store/db/token_record.h). */
struct sql_queued_record {
    uint32_t vmid;
    bool missing; /* there was none before */
    bool must;    /* it names a token that is good */
    bool drafted; /* its draft is written */
    struct buffer text;
};

struct store {
    sqlite3 *connection;
    char *path;
    struct sql_prepared *prepared;
    size_t prepared_count;
    uint32_t busy_ms;
    int64_t deadline_us; /* of the current wait for a lock */
    char boot_id[40];    /* "" until it is read */
    struct sql_queued_record *queued;
    size_t queued_count;
    int64_t begun_us;    /* when the transaction began to wait for the database */
    int records_fd;      /* the directory of the records, open during a commit; else -1 */
    bool records_locked; /* by this process */
};

/* The files schema/sql/NNNN_*.sql, embedded at build time by tools/embed-migrations: migrations[i]
 * takes the database from user_version i to i + 1. */
extern const char *const migrations[];
extern const int migration_count;

/* Opens the existing file store->path and makes the settings that do not require reading the
 * file. */
int sql_connect(struct store *store, struct error *error);

/* Like sql_connect, for read-only use: creates and writes nothing but SQLite's shared memory file,
 * and that only if there is a log without one. */
int sql_connect_read_only(struct store *store, struct error *error);

/* Copies the log into the database and empties it, unless another process is in the way. */
void sql_checkpoint(struct store *store);

/* Finalizes all statements and closes the connection; an open transaction is rolled back. */
void sql_disconnect(struct store *store);

/* Fills *error from the connection's last failure. Returns -1. */
int sql_fail(struct store *store, struct error *error);

/* Returns a copy of SQLite's words, at most SQL_PLAIN_LENGTH bytes, with '?' for each that is not
 * printable ASCII: they may quote a damaged file. The caller frees it with free(). */
#define SQL_PLAIN_LENGTH 200
char *sql_plain(const char *text);

/* Fails with ERROR_CORRUPT: says why the database at this path is damaged and how to recover. */
int sql_fail_damaged(const char *path, const char *why, struct error *error);

enum sql_type { SQL_NULL, SQL_INT, SQL_TEXT, SQL_BYTES };

/* A value to bind. Texts and bytes are borrowed until the statement has ended. */
struct sql_value {
    enum sql_type type;
    int64_t number;
    const void *bytes;
    size_t length;
};

struct sql_values {
    const struct sql_value *items;
    size_t count;
};

static inline struct sql_value sql_int(int64_t number)
{
    return (struct sql_value){.type = SQL_INT, .number = number};
}

/* NULL becomes SQL's NULL. */
struct sql_value sql_text(const char *text);
struct sql_value sql_bytes(const void *bytes, size_t length);

/* The values of ?1, ?2 and so on: sql_values(sql_int(8200), sql_text("x")). */
#define sql_values(...) \
    ((struct sql_values){(const struct sql_value[]){__VA_ARGS__}, \
                         ARRAY_SIZE(((const struct sql_value[]){__VA_ARGS__}))})
#define SQL_NO_VALUES ((struct sql_values){NULL, 0})

/* A running statement. Zero-initialise it; end it with sql_query_end. */
struct sql_query {
    struct store *store;
    sqlite3_stmt *statement;
};
void sql_query_end(struct sql_query *query);
#define cleanup_query cleanup(sql_query_end)

/* Begins a statement and takes its first step; sql_step takes the next one. Both return 1 for each
 * row, 0 after the last and -1 on failure. */
int sql_first(struct store *store, const char *sql, struct sql_values values, struct sql_query *ret,
              struct error *error);
int sql_step(struct sql_query *query, struct error *error);

/* Runs a statement to its end and ignores its rows. */
int sql_run(struct store *store, const char *sql, struct sql_values values, struct error *error);

/* Runs a statement that must change a row: if it changes none, fails with this kind and message. */
int sql_must_change(struct store *store, const char *sql, struct sql_values values,
                    struct error *error, enum error_kind kind, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* Reads the number in the first row; 0 if there is no row. */
int sql_number(struct store *store, const char *sql, struct sql_values values, int64_t *ret,
               struct error *error);

/* Appends the bytes in the first row to out; nothing if there is no row. */
int sql_add_bytes(struct store *store, const char *sql, struct sql_values values,
                  struct buffer *out, struct error *error);

/*
 * Like sql_number, for statements that fail for a moment while other processes open or close the
 * database: such failures are retried for as long as a lock would be waited for.
 */
int sql_settle(struct store *store, const char *sql, int64_t *ret, struct error *error);

/*
 * Runs a statement and calls visit(&record, context) for each row; record is what read(query)
 * returns. Stops when visit returns non-zero and yields that value; -1 on failure, else 0.
 */
#define sql_visit(store, sql, values, type, read, visit, context, error) \
    ({ \
        int verdict_ = 0; \
        cleanup_query struct sql_query query_ = {0}; \
        int row_ = sql_first(store, sql, values, &query_, error); \
        while (row_ > 0 && verdict_ == 0) { \
            const type record_ = read(&query_); \
            verdict_ = visit(&record_, context); \
            if (verdict_ == 0) \
                row_ = sql_step(&query_, error); \
        } \
        verdict_ ? verdict_ : row_; \
    })

/* Returns how many rows the last INSERT, UPDATE or DELETE changed. */
int64_t sql_changes(const struct store *store);

/* Read a column of the current row; columns count from 0. Texts are never NULL and are valid until
 * the next step. */
int64_t sql_column_int(const struct sql_query *query, int column);
const char *sql_column_text(const struct sql_query *query, int column);
const void *sql_column_bytes(const struct sql_query *query, int column, size_t *ret_length);
bool sql_column_is_null(const struct sql_query *query, int column);

/* Copies a text; cuts it if it does not fit. */
void sql_column_copy(const struct sql_query *query, int column, char *ret, size_t size);

/* Returns the index of the text in names, which NULL ends; 0 if it is none of them. */
int sql_column_choice(const struct sql_query *query, int column, const char *const *names);

#endif
