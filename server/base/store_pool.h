/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few open stores for many threads. Nothing is kept from one loan to the next but the open file,
 * so that a revocation counts at once; and where another file has taken its place, as after a
 * restore, that one is opened instead within STORE_POOL_LOOK_US.
 */
#ifndef FELHOM_STORE_POOL_H
#define FELHOM_STORE_POOL_H

#include <stdbool.h>

#include "schema/base/cleanup.h"
#include "store/db/store.h"

#define STORE_POOL_LOOK_US 20000

struct store_pool;

/* Makes the store where it is missing and opens it once, to see that it can be. Ends with
 * store_pool_free, after the last loan. */
int store_pool_new(const char *state_dir, struct store_pool **ret, struct error *error);
void store_pool_free(struct store_pool *pool);

/* A borrowed store. Zero-initialise. */
struct store_loan {
    struct store_pool *pool;
    struct store *store; /* NULL: none, or it was spoilt */
    uint64_t generation; /* of the file that it has open; the pool's own */
    bool pen;            /* by store_borrow_pen */
};

/* Waits up to a second for a free one (then ERROR_BUSY). Fails as store_open does. */
int store_borrow(struct store_pool *pool, struct store_loan *ret, struct error *error);

/* The same, and what is read until it is returned is one state of it (store_begin_view). */
int store_borrow_view(struct store_pool *pool, struct store_loan *ret, struct error *error);

/* The same, to note what clients did: lent to one such borrower at a time, so that no crowd of them
 * takes every store from those that read while the disk is slow. */
int store_borrow_pen(struct store_pool *pool, struct store_loan *ret, struct error *error);

/* Gives it back; nothing where nothing was borrowed. Fits cleanup(). */
void store_return(struct store_loan *loan);
#define cleanup_store_loan cleanup(store_return)

/* After a failure: unless others were merely in the way, the store is closed, and the next borrower
 * opens it anew. */
void store_loan_failed(struct store_loan *loan, const struct error *error);

#endif
