/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's neighbour table: which hardware address answers for an IPv4 address. */
#ifndef FELHOM_NEIGHBOUR_H
#define FELHOM_NEIGHBOUR_H

#include <netinet/in.h>

#include "schema/base/address.h"
#include "schema/base/error.h"

/*
 * The hardware address of a peer on the link that our packets to it take, so that it can't be
 * mistaken for a namesake on another link. ERROR_MISSING where there is none to find: the host
 * itself (loopback or any address of its own), a peer behind a router, an address without a valid
 * entry.
 */
int neighbour_find(struct in_addr address, struct hwaddr *ret, struct error *error);

#endif
