/* SPDX-License-Identifier: Apache-2.0 */
/* The store in numbers, for metrics. */
#ifndef FELHOM_STORE_CENSUS_H
#define FELHOM_STORE_CENSUS_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/token.h"
#include "store/db/store.h"
#include "store/tables/guest.h"
#include "store/tables/job.h"

#define CENSUS_NEVER INT64_MIN

struct census_tokens {
    int64_t good;
    int64_t expired;
    int64_t revoked;
};

/* Those that the store still keeps. */
int census_tokens(struct store *store, int64_t now_ms, struct census_tokens *ret,
                  struct error *error);

struct census_jobs {
    int64_t count[JOB_BACKUP + 1][JOB_FAILED + 1]; /* by kind and phase */
};

/* Those that the store still keeps. */
int census_jobs(struct store *store, struct census_jobs *ret, struct error *error);

/* How many bytes the database and its write-ahead log have on disk. */
int64_t census_bytes(const struct store *store);

/* When things happened to a guest; CENSUS_NEVER: they did not. name is valid during the visit. */
struct census_guest {
    uint32_t vmid;
    enum guest_kind kind;
    enum guest_state state;
    const char *name;
    int64_t token_at_ms;  /* when its newest good token was made */
    int64_t backup_at_ms; /* when its newest backup was made, as far as is known */
    int64_t tested_at_ms; /* when its last restore test ended */
    bool test_passed;
};

/* In VMID order until visit returns non-zero; returns that, or -1 on failure. */
int census_guests(struct store *store, int64_t now_ms,
                  int (*visit)(const struct census_guest *guest, void *context), void *context,
                  struct error *error);

/* How much of everything there is. */

struct overview {
    int64_t guests_starting;
    int64_t guests_running;
    int64_t guests_stopping;
    int64_t guests_stopped;
    int64_t tokens_good;
    int64_t tokens_expired;
    int64_t tokens_revoked;
    int64_t jobs_running;
    int64_t events;
};

/* Counts at that time, all at one moment of the store. */
int overview_get(struct store *store, int64_t now_ms, struct overview *ret, struct error *error);

/* Rows that only an operator wants to see one by one. Nothing here is a secret. */

/* A token by its public id. Texts are valid during the visit. */
struct token_row {
    char id[TOKEN_ID_LENGTH + 1];
    int64_t generation;
    int64_t created_at_ms;
    int64_t expires_at_ms; /* 0: never by itself */
    int64_t revoked_at_ms; /* 0: not revoked */
    const char *revoked_reason;
};

/* Visits the guest's tokens, newest first, until visit returns non-zero; returns that, or -1 on
 * failure. */
int token_each(struct store *store, uint32_t vmid,
               int (*visit)(const struct token_row *token, void *context), void *context,
               struct error *error);

/* A NIC as the guest's last start left it. Texts are valid during the visit. */
struct nic_row {
    const char *key;
    const char *hwaddr; /* "" if none */
    const char *bridge;
    const char *ip;
};

/* The same for the guest's NICs, by number. */
int nic_each(struct store *store, uint32_t vmid,
             int (*visit)(const struct nic_row *nic, void *context), void *context,
             struct error *error);

#endif
