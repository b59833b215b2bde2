/* SPDX-License-Identifier: Apache-2.0 */
/* Deleting registry tokens that are not to be any more. A name is forgotten only once the registry
 * has said that there is no such token, and that none will come of a request under way. */
#ifndef FELHOM_REGISTRY_DELETION_H
#define FELHOM_REGISTRY_DELETION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "server/base/limiter.h"
#include "server/base/store_pool.h"
#include "server/registry/mint.h"

/* The worker's. */
struct registry_deletion {
    struct store_pool *stores;
    struct http_client *client;
    struct registry_mint *mint; /* for what is being minted is left alone */
    const atomic_bool *stopping;
    struct throttled_log log;
};

/*
 * Deletes one token if it is time for that. fresh: the settings may be others, so that it is time
 * for all that failed. Returns after how many microseconds to be called again.
 */
int64_t registry_deletion_turn(struct registry_deletion *deletion, const struct config *config,
                               bool fresh);

#endif
