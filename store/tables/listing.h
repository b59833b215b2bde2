/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that only an operator wants to see one by one. Nothing here is a secret. */
#ifndef FELHOM_STORE_LISTING_H
#define FELHOM_STORE_LISTING_H

#include <stdint.h>

#include "schema/agent/token.h"
#include "store/db/store.h"

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
