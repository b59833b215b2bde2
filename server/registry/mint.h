/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Minting registry tokens, one at a time. Its name is in the store before the registry hears of it;
 * whatever comes between, whoever finds the name there without a mint under way has the token
 * deleted.
 */
#ifndef FELHOM_REGISTRY_MINT_H
#define FELHOM_REGISTRY_MINT_H

#include <pthread.h>

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "server/base/limiter.h"
#include "server/base/store_pool.h"
#include "store/tables/credential.h"

struct http_client;

struct registry_mint {
    struct store_pool *stores;
    struct bounded_lock client_lock; /* before client */
    struct http_client *client;
    pthread_mutex_t lock;            /* of name */
    char name[CREDENTIAL_NAME_SIZE]; /* of the token that is being minted; "": none is */
};

void registry_mint_init(struct registry_mint *mint, struct store_pool *stores);
void registry_mint_destroy(struct registry_mint *mint);

/* Adds a fresh token for the guest to out; as registry_credential_get, otherwise. */
int registry_mint(struct registry_mint *mint, const struct config *config, uint32_t vmid,
                  int64_t deadline_us, struct buffer *out, struct error *error);

/* The name of the token that is being minted, and that no other mint begins until
 * registry_mint_resume. */
const char *registry_mint_hold(struct registry_mint *mint);
void registry_mint_resume(struct registry_mint *mint);

#endif
