/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's memory: one SQLite database (WAL, synchronous=FULL), STATE/db/agent.db, shared by
 * hooks, daemon and tool. A store belongs to one thread at a time.
 */
#ifndef FELHOM_STORE_H
#define FELHOM_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/base/cleanup.h"
#include "schema/base/error.h"

struct store;

enum store_open_mode {
    STORE_OPEN_EXISTING, /* ERROR_MISSING where there is none */
    STORE_OPEN_CREATE,   /* make it (0600, below a 0700 directory, both of the state directory's
                            owner) */
};

/* For a program of one thread that opens one store, does little and ends: SQLite then reserves
 * memory as it is needed, and locks nothing in it. To be called before any other function of the
 * store. */
void store_use_little_memory(void);

/*
 * Opens STATE_DIR/db/agent.db and brings its schema up to date, each migration in one transaction.
 * busy_ms: how long any call waits for another process's lock before it fails with ERROR_BUSY.
 * ERROR_NEWER where a newer program has written it (it is not touched then), ERROR_CORRUPT where it
 * is no database. The caller closes it with store_close.
 */
int store_open(const char *state_dir, enum store_open_mode mode, uint32_t busy_ms,
               struct store **ret, struct error *error);

/*
 * Opens it to look at it: as it lies there, nothing mended, nothing brought up to date. ERROR_NEWER
 * and ERROR_CORRUPT as above, ERROR_CONFLICT where it is older than this program's schema.
 */
int store_open_read_only(const char *state_dir, uint32_t busy_ms, struct store **ret,
                         struct error *error);

/* Reads the whole database through. ERROR_CORRUPT with what SQLite says first. */
int store_check(struct store *store, struct error *error);

/* Rolls back what is open and closes. NULL is fine. */
void store_close(struct store *store);

static inline void store_close_fn(struct store **store)
{
    store_close(*store);
}
#define cleanup_store cleanup(store_close_fn)

/* BEGIN IMMEDIATE: from here on no other process can write until commit or rollback. */
int store_begin(struct store *store, struct error *error);
int store_commit(struct store *store, struct error *error);
void store_rollback(struct store *store);

/*
 * A transaction that rolls back unless it was committed:
 *
 *     cleanup_transaction struct transaction transaction = {0};
 *     if (transaction_begin(store, &transaction, error) < 0 || ...)
 *         return -1;
 *     return transaction_commit(&transaction, error);
 *
 * Within an open transaction it is part of that one, which the caller must roll back on failure.
 */
struct transaction {
    struct store *store; /* NULL: nothing to end here */
};
int transaction_begin(struct store *store, struct transaction *ret, struct error *error);
int transaction_commit(struct transaction *transaction, struct error *error);
void transaction_end(struct transaction *transaction);
#define cleanup_transaction cleanup(transaction_end)

/* BEGIN: until store_rollback everything is read from one state, whatever others commit meanwhile.
 * For reading only. */
int store_begin_view(struct store *store, struct error *error);

/* Whether anything was written through this handle since it was opened. */
bool store_has_written(const struct store *store);

/* A number that changes whenever another process has written. */
int store_data_version(struct store *store, int64_t *ret, struct error *error);

/* The schema version that this program writes (the number of its newest migration). */
int store_schema_version(void);

/* The schema version of STATE_DIR/db/agent.db, which may be newer than this program's. No file is
 * made or written. ERROR_MISSING where there is no store. */
int store_peek_version(const char *state_dir, int *ret, struct error *error);

#endif
