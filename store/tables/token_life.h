/* SPDX-License-Identifier: Apache-2.0 */
/* From when to when a guest's tokens are good, and the end that a newer one brings them. */
#ifndef FELHOM_STORE_TOKEN_LIFE_H
#define FELHOM_STORE_TOKEN_LIFE_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/token.h"
#include "store/db/store.h"

struct token_life {
    char id[TOKEN_ID_LENGTH + 1];
    int64_t generation;
    int64_t created_at_ms;
    int64_t expires_at_ms; /* 0: never by itself */
    bool revoked;
};

/* When a token that is made now ends by itself: 0, never, where max_age_ms is 0. */
int64_t token_life_end(int64_t now_ms, uint64_t max_age_ms);

/* The guest's newest token; all zero where it never had one. */
int token_newest(struct store *store, uint32_t vmid, struct token_life *ret, struct error *error);

/* The token with this id; all zero where the store keeps none. */
int token_find(struct store *store, const char *id, struct token_life *ret, struct error *error);

/* Has the guest's tokens older than generation before end no later than end_ms. One that ends
 * sooner, or is revoked, stays as it is. */
int token_end_before(struct store *store, uint32_t vmid, int64_t before, int64_t end_ms,
                     struct error *error);

#endif
