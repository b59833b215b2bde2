/* SPDX-License-Identifier: Apache-2.0 */
/* Where the local API listens, and from which network it is reached. */
#ifndef FELHOM_ENDPOINT_H
#define FELHOM_ENDPOINT_H

#include <netinet/in.h>

#include "schema/agent/config.h"
#include "schema/agent/pin.h"
#include "schema/base/address.h"
#include "store/tables/host.h"

#define ENDPOINT_PORT 8443

/* local_api.listen, else the bridge's first IPv4 address with ENDPOINT_PORT. ERROR_MISSING while
 * the bridge has none. */
int endpoint_resolve(const struct config *config, struct sockaddr_in *ret, struct error *error);

/* The subnet of the interface that has this address. ERROR_MISSING where none has. */
int endpoint_network(const struct sockaddr_in *endpoint, struct cidr *ret, struct error *error);

/* Fills *ret from configuration, machine and pins: host_id (default: the host's name), node (what
 * PVE/local links to, else the host's name), endpoint. */
int endpoint_describe_host(const struct config *config, const struct pins *pins, struct host *ret,
                           struct error *error);

#endif
