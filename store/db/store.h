/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's SQLite database, STATE/db/agent.db, which felhom-hook, felhomd and felhomctl share
 * (write-ahead log, synchronous=FULL): opening it, creating it, migrating its schema, and
 * transactions. The modules in store/tables/ read and write its tables. A struct store is one
 * connection; only one thread at a time may use it.
 */
#ifndef FELHOM_STORE_H
#define FELHOM_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/base/cleanup.h"
#include "schema/base/error.h"

struct store;

enum store_open_mode {
    STORE_OPEN_EXISTING, /* ERROR_MISSING if there is none */
    STORE_OPEN_CREATE,   /* create it if missing (file 0600, directory 0700, both owned by the state
                            directory's owner) */
};

/* For single-threaded programs that open one store and end soon: makes SQLite allocate memory only
 * as needed and skip its locks. Must be called before any other function of the store. */
void store_use_little_memory(void);

/*
 * Opens STATE_DIR/db/agent.db and updates its schema, each migration in a transaction of its own.
 * busy_ms: how long any later call waits for another process's lock before it fails with
 * ERROR_BUSY. ERROR_NEWER if a newer program has written the database (which is left untouched),
 * ERROR_CORRUPT if the file is no database. The caller closes *ret with store_close.
 */
int store_open(const char *state_dir, enum store_open_mode mode, uint32_t busy_ms,
               struct store **ret, struct error *error);

/*
 * Opens the database for reading only: nothing is repaired or migrated. Fails as store_open does,
 * and with ERROR_CONFLICT if the schema is older than this program's.
 */
int store_open_read_only(const char *state_dir, uint32_t busy_ms, struct store **ret,
                         struct error *error);

/* Checks the integrity of the whole database. ERROR_CORRUPT with the first problem that SQLite
 * finds. */
int store_check(struct store *store, struct error *error);

/* Copies the log into the database and empties it, unless another process is in the way: what is in
 * the log alone can be lost with it. */
void store_checkpoint(struct store *store);

/* Rolls back an open transaction and closes the database. NULL is allowed. */
void store_close(struct store *store);

static inline void store_close_fn(struct store **store)
{
    store_close(*store);
}
#define cleanup_store cleanup(store_close_fn)

/* BEGIN IMMEDIATE: until commit or rollback, no other process can write. store_commit also writes
 * the records of guests whose tokens have changed (store/db/token_record.h). */
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
    struct store *store; /* NULL: the caller's transaction, or already committed; nothing to end */
};
int transaction_begin(struct store *store, struct transaction *ret, struct error *error);
int transaction_commit(struct transaction *transaction, struct error *error);
void transaction_end(struct transaction *transaction);
#define cleanup_transaction cleanup(transaction_end)

/* Begins a transaction for reading only: until store_rollback, all reads see the same state,
 * whatever other processes commit. */
int store_begin_view(struct store *store, struct error *error);

/* Returns true if anything was written through this connection since it was opened. */
bool store_has_written(const struct store *store);

/* *ret becomes a number that changes whenever another connection has written to the database. */
int store_data_version(struct store *store, int64_t *ret, struct error *error);

/* Returns the schema version that this program writes, which is the number of its newest
 * migration. */
int store_schema_version(void);

/* Reads the schema version of STATE_DIR/db/agent.db, which may be newer than this program's. No
 * file is created or written. ERROR_MISSING if there is no store. */
int store_peek_version(const char *state_dir, int *ret, struct error *error);

#endif
