/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's own identity as guests know it: its id and node name, the address and network of its
 * local API, and the pins of the certificate that it shows. host_describe works them out from
 * agent.yaml and the machine; host_put records them in the store, for moments at which the machine
 * cannot tell (a bridge without an address).
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
    char endpoint[64]; /* A.B.C.D:PORT at which guests reach the API */
    struct pins pins;
};

/* Returns local_api.listen if it is set, else the bridge's first IPv4 address with ENDPOINT_PORT.
 * ERROR_MISSING if the bridge has no address or does not exist. */
int host_endpoint(const struct config *config, struct sockaddr_in *ret, struct error *error);

/* Returns the network of the interface that has this address. ERROR_MISSING if no interface has
 * it. */
int host_network(const struct sockaddr_in *endpoint, struct cidr *ret, struct error *error);

/*
 * Fills *ret from agent.yaml, the machine and the pins. host_id: from agent.yaml, else the host's
 * name. node: the target of the link PVE/local, else the host's name without its domain. Fails as
 * host_endpoint does.
 */
int host_describe(const struct config *config, const struct pins *pins, struct host *ret,
                  struct error *error);

/* Records the host in the store, replacing what was recorded before. */
int host_put(struct store *store, const struct host *host, struct error *error);

/* Reads the recorded host. ERROR_MISSING before the first host_put. */
int host_get(struct store *store, struct host *ret, struct error *error);

#endif
