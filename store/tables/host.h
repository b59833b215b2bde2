/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent knows of its own host: names, where the API listens, which certificate it shows.
 */
#ifndef FELHOM_STORE_HOST_H
#define FELHOM_STORE_HOST_H

#include "schema/agent/pin.h"
#include "store/db/store.h"

struct host {
    char host_id[256];
    char node[256];
    char endpoint[64]; /* A.B.C.D:PORT as guests reach it */
    struct pins pins;
};

/* Stores it in place of what was there. */
int host_put(struct store *store, const struct host *host, struct error *error);

/* ERROR_MISSING before the first host_put. */
int host_get(struct store *store, struct host *ret, struct error *error);

#endif
