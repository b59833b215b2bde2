/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pulls each guest's configuration from the hub into the store. What fails is tried again by
 * worker_backoff_ms, up to hub.poll; a customer that the hub refuses (401: wrong password, 404:
 * unknown) only once URL, customer or password are others. While the hub cannot be reached at all,
 * guests that were asked for before wait together, so that a hub that hangs is asked by one of them
 * at a time.
 */
#ifndef FELHOM_HUB_PULL_H
#define FELHOM_HUB_PULL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "server/base/limiter.h"
#include "server/base/store_pool.h"
#include "server/outbound/http_client.h"
#include "store/tables/hub_config.h"

/* Times by clock_steady_us. */
struct hub_puller {
    struct store_pool *stores;
    struct http_client *client;
    const atomic_bool *stopping;
    struct throttled_log log;
    uint32_t unreached; /* so many tries in a row did not reach the hub */
    int64_t reach_at_us;
    int64_t looked_at_us;
};

/*
 * Looks which guests are due, at most once a second, and pulls for a few seconds. fresh: the
 * settings are others, or the daemon has just started: what failed is due now. Returns when to call
 * again.
 */
int64_t hub_pull_turn(struct hub_puller *puller, const struct config *config, bool fresh);

/* Whose configuration is to be pulled from the hub now. */

/* A guest's customer to pull for. */
struct hub_errand {
    char *customer;
    char *password; /* wiped when freed */
    struct hub_pull pull;
};

struct hub_errands {
    struct hub_errand *items; /* longest due first */
    size_t count;
    int64_t next_at_ms; /* when the next of the others is due; INT64_MAX: none */
};

struct hub_look {
    const struct config *config; /* with a hub.url */
    int64_t now_ms;
    bool unreachable; /* only those that were never asked for from where they are pulled now */
    bool fresh;       /* what failed is due, whenever it was to be tried again */
};

/* Also forgets what was pulled for guests that have no customer any more. */
int hub_errands_list(struct store *store, const struct hub_look *look, struct hub_errands *ret,
                     struct error *error);
void hub_errands_free(struct hub_errands *errands);

#endif
