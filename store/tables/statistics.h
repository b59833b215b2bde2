/* SPDX-License-Identifier: Apache-2.0 */
/* The contents of the store in numbers, for the metrics and for `felhomctl status`. Everything here
 * only reads. */
#ifndef FELHOM_STORE_STATISTICS_H
#define FELHOM_STORE_STATISTICS_H

#include <stdbool.h>
#include <stdint.h>

#include "store/db/store.h"
#include "store/tables/guest.h"
#include "store/tables/job.h"

#define STATISTICS_NEVER INT64_MIN

struct statistics_tokens {
    int64_t good;
    int64_t expired;
    int64_t revoked;
};

/* Counts the tokens in the store by their state at now_ms. */
int statistics_tokens(struct store *store, int64_t now_ms, struct statistics_tokens *ret,
                      struct error *error);

struct statistics_jobs {
    int64_t count[JOB_BACKUP + 1][JOB_FAILED + 1]; /* indexed by kind and phase */
};

/* Counts the jobs in the store. */
int statistics_jobs(struct store *store, struct statistics_jobs *ret, struct error *error);

/* Returns the size of the database and its write-ahead log in bytes. */
int64_t statistics_bytes(const struct store *store);

/* When things last happened to a guest; STATISTICS_NEVER if they never did. name is valid during
 * the visit. */
struct statistics_guest {
    uint32_t vmid;
    enum guest_kind kind;
    enum guest_state state;
    const char *name;
    int64_t token_at_ms;  /* when its newest good token was minted */
    int64_t backup_at_ms; /* when its newest known backup was made */
    int64_t tested_at_ms; /* when its last restore test ended */
    bool test_passed;
};

/* Visits all guests in order of VMID until visit returns non-zero; returns that value, or -1 on
 * failure. */
int statistics_guests(struct store *store, int64_t now_ms,
                      int (*visit)(const struct statistics_guest *guest, void *context),
                      void *context, struct error *error);

struct statistics {
    int64_t guests_starting;
    int64_t guests_running;
    int64_t guests_stopping;
    int64_t guests_stopped;
    struct statistics_tokens tokens;
    int64_t jobs_running;
    int64_t events;
};

/* Reads all counts in one statement, so that they belong to the same moment. Tokens count by their
 * state at now_ms. */
int statistics_get(struct store *store, int64_t now_ms, struct statistics *ret,
                   struct error *error);

#endif
