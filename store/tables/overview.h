/* SPDX-License-Identifier: Apache-2.0 */
/* How much of everything there is. */
#ifndef FELHOM_STORE_OVERVIEW_H
#define FELHOM_STORE_OVERVIEW_H

#include <stdint.h>

#include "store/db/store.h"

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

#endif
