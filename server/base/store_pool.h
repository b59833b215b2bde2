/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few open stores for many threads. From one loan to the next only the open file is kept, and
 * nothing that was read from it, so a revoked token is refused at once. If another database file
 * takes the place of the open one, as after a restore, every loan more than STORE_POOL_LOOK_US
 * later is of the new file. Any thread may borrow; a loan belongs to one thread at a time.
 */
#ifndef FELHOM_STORE_POOL_H
#define FELHOM_STORE_POOL_H

#include <stdbool.h>

#include "schema/base/cleanup.h"
#include "store/db/store.h"
#include "store/host/host.h"

#define STORE_POOL_LOOK_US 20000

struct store_pool;

/* Opens the store once, and makes it if it does not exist. Fails as store_open does. Ends with
 * store_pool_free, after the last loan was returned. */
int store_pool_new(const char *state_dir, struct store_pool **ret, struct error *error);
void store_pool_free(struct store_pool *pool);

/* A borrowed store. Zero-initialise; always end with store_return, even if borrowing failed. */
struct store_loan {
    struct store_pool *pool;
    struct store *store; /* NULL: borrowing failed, or store_loan_failed has closed the store */
    uint64_t generation; /* which file the store has open; private to the pool */
    bool is_writer;      /* borrowed by store_borrow_writer */
};

/* Borrows a store, waiting up to a second for a free one; ERROR_BUSY if none becomes free.
 * Otherwise fails as store_open does. */
int store_borrow(struct store_pool *pool, struct store_loan *ret, struct error *error);

/* Does the same as store_borrow and begins a view (store_begin_view): everything that is read
 * until the store is returned is from the same state of the database. */
int store_borrow_view(struct store_pool *pool, struct store_loan *ret, struct error *error);

/* Does the same as store_borrow, for a caller that only records what clients did. At most one
 * such loan exists at a time: while the disk is slow, writers cannot take all stores from the
 * readers. */
int store_borrow_writer(struct store_pool *pool, struct store_loan *ret, struct error *error);

/* Returns the store to the pool and rolls back what was not committed. Does nothing if nothing
 * was borrowed. Fits cleanup(). */
void store_return(struct store_loan *loan);
#define cleanup_store_loan cleanup(store_return)

/* To be called after a failed use of the store. Closes the store, so that the next borrower
 * opens it anew. With ERROR_BUSY the store stays open, because another thread or process merely
 * held a lock. Returns -1, so that callers can write `return store_loan_failed(...)`. */
static inline int store_loan_failed(struct store_loan *loan, const struct error *error)
{
    if (error->kind != ERROR_BUSY)
        store_close(steal(loan->store));
    return -1;
}

/* Has the next loan look whether the database was replaced, however short a time ago it was looked
 * at. */
void store_pool_look(struct store_pool *pool);

/*
 * Checks that the store can be read: looks up a token that there is not. Any number of clients may
 * ask: the store is read at most once in STORE_POOL_CHECK_US, by one thread, and the others get
 * what was found last. Nothing is written.
 */
#define STORE_POOL_CHECK_US 1000000
int store_pool_check(struct store_pool *pool, struct error *error);

/* Reads the host (host_get) with a store that is borrowed for that alone. */
int store_pool_read_host(struct store_pool *pool, struct host *ret, struct error *error);

#endif
