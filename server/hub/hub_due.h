/* SPDX-License-Identifier: Apache-2.0 */
/* Whose configuration is to be pulled from the hub now. */
#ifndef FELHOM_HUB_DUE_H
#define FELHOM_HUB_DUE_H

#include "schema/agent/config.h"
#include "store/tables/hub_config.h"

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
