/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host itself: its names, where its local API listens, from which network that is reached, and
 * which certificate it shows. Worked out from the configuration and the machine, and remembered in
 * the store for moments in which the machine cannot say (a bridge without an address).
 */
#ifndef FELHOM_HOST_H
#define FELHOM_HOST_H

#include <netinet/in.h>

#include "schema/agent/config.h"
#include "schema/agent/pin.h"
#include "schema/base/address.h"
#include "schema/base/error.h"
#include "store/db/store.h"

#define ENDPOINT_PORT 8443

struct host {
    char host_id[256];
    char node[256];
    char endpoint[64]; /* A.B.C.D:PORT as guests reach it */
    struct pins pins;
};

/* local_api.listen, else the bridge's first IPv4 address with ENDPOINT_PORT. ERROR_MISSING while
 * the bridge has none. */
int host_endpoint(const struct config *config, struct sockaddr_in *ret, struct error *error);

/* The subnet of the interface that has this address. ERROR_MISSING where none has. */
int host_network(const struct sockaddr_in *endpoint, struct cidr *ret, struct error *error);

/* Fills *ret from configuration, machine and pins: host_id (default: the host's name), node (what
 * PVE/local links to, else the host's name), endpoint. */
int host_describe(const struct config *config, const struct pins *pins, struct host *ret,
                  struct error *error);

/* Stores it in place of what was there. */
int host_put(struct store *store, const struct host *host, struct error *error);

/* ERROR_MISSING before the first host_put. */
int host_get(struct store *store, struct host *ret, struct error *error);

#endif
