/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thin layer between the store's tables and SQLite: statements prepared once per connection,
 * typed values, one mapping of SQLite's codes to ours. Only store/ uses it. SQL texts must be
 * literals: a statement is known by its text's address.
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

struct store {
    sqlite3 *connection;
    char *path;
    struct sql_prepared *prepared;
    size_t prepared_count;
    uint32_t busy_ms;
    int64_t deadline_us; /* of the wait that is under way */
};

/* Connects to the existing file store->path and sets all that needs no look into it. */
int sql_connect(struct store *store, struct error *error);

/* The same for one who only looks: nothing is made or written beside SQLite's own shared memory,
 * where a log lies without it. */
int sql_connect_read_only(struct store *store, struct error *error);

/* Empties the log into the database, unless somebody is in the way. */
void sql_checkpoint(struct store *store);

/* Finalizes every statement and closes; what is open is rolled back. */
void sql_disconnect(struct store *store);

/* Fills *error from the connection's last failure; returns -1. */
int sql_fail(struct store *store, struct error *error);

/* Fails with ERROR_CORRUPT, with why the database at this path is damaged and the way out. */
int sql_fail_damaged(const char *path, const char *why, struct error *error);

/* Says why the store can't be written: SQLite opens for reading what it could not open for writing,
 * whatever kept it from that, and tells of what then came of it. Returns -1. */
int sql_fail_read_only(struct store *store, struct error *error);

enum sql_type { SQL_NULL, SQL_INT, SQL_TEXT, SQL_BYTES };

/* A value to bind; texts and bytes are borrowed until the statement has ended. */
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

/* NULL stands for SQL's NULL in both. */
struct sql_value sql_text(const char *text);
struct sql_value sql_bytes(const void *bytes, size_t length);

/* sql_values(sql_int(8200), sql_text("x")): for ?1, ?2, ... */
#define sql_values(...) \
    ((struct sql_values){(const struct sql_value[]){__VA_ARGS__}, \
                         ARRAY_SIZE(((const struct sql_value[]){__VA_ARGS__}))})
#define SQL_NO_VALUES ((struct sql_values){NULL, 0})

/* A statement under way. Zero-initialise; sql_query_end lets go of it. */
struct sql_query {
    struct store *store;
    sqlite3_stmt *statement;
};
void sql_query_end(struct sql_query *query);
#define cleanup_query cleanup(sql_query_end)

/* Begins a statement; sql_step then yields 1 for each row, 0 at the end, -1 on failure. */
int sql_start(struct store *store, const char *sql, struct sql_values values, struct sql_query *ret,
              struct error *error);
int sql_step(struct sql_query *query, struct error *error);

/* Both at once, to the first row. */
int sql_first(struct store *store, const char *sql, struct sql_values values, struct sql_query *ret,
              struct error *error);

/* A whole statement whose rows do not matter. */
int sql_run(struct store *store, const char *sql, struct sql_values values, struct error *error);

/* The number in the first row of a statement; 0 where there is no row. */
int sql_number(struct store *store, const char *sql, struct sql_values values, int64_t *ret,
               struct error *error);

/* Adds the bytes in the first row of a statement to out; nothing where there is no row. */
int sql_add_bytes(struct store *store, const char *sql, struct sql_values values,
                  struct buffer *out, struct error *error);

/*
 * The number in the first row (0: no row) of a statement that may meet other processes that just
 * open or close the database: what passes by itself is waited for as long as a lock would be.
 */
int sql_settle(struct store *store, const char *sql, int64_t *ret, struct error *error);

/*
 * Runs a statement and has visit(&record, context) see each row, as read(query) returns it, until
 * visit returns non-zero: the value is what visit returned, -1 on failure, else 0.
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

/* How many rows the last INSERT, UPDATE or DELETE changed. */
int64_t sql_changes(const struct store *store);

/* The current row's columns, from 0. Texts are never NULL and valid until the next step. */
int64_t sql_column_int(const struct sql_query *query, int column);
const char *sql_column_text(const struct sql_query *query, int column);
const void *sql_column_bytes(const struct sql_query *query, int column, size_t *ret_length);
bool sql_column_is_null(const struct sql_query *query, int column);

/* Copies a text, cut where it does not fit. */
void sql_column_copy(const struct sql_query *query, int column, char *ret, size_t size);

/* The index of the text among names, 0 if it is none of them. */
size_t sql_column_choice(const struct sql_query *query, int column, const char *const *names,
                         size_t count);

#endif
