/* SPDX-License-Identifier: Apache-2.0 */
/* Who is at the other end of a connection, as the gate found out when it was made. */
#ifndef FELHOM_PEER_H
#define FELHOM_PEER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/base/address.h"
#include "schema/base/error.h"

struct peer {
    struct sockaddr_in address;
    char address_text[INET_ADDRSTRLEN];
    bool has_hwaddr; /* on the link: its MAC stands in the neighbour table */
    struct hwaddr hwaddr;
    uint32_t source; /* its row in the table of sources; the gate's own */
};

/* How a peer is named in events and logs: "BC:24:11:...(192.168.0.7)" or the bare address. */
#define PEER_NAME_SIZE 64
void peer_name(const struct peer *peer, char ret[static PEER_NAME_SIZE]);

/* The kernel's neighbour table: which hardware address answers for an IPv4 address. */

/*
 * The hardware address of a peer on the link that our packets to it take, so that it can't be
 * mistaken for a namesake on another link. ERROR_MISSING where there is none to find: the host
 * itself (loopback or any address of its own), a peer behind a router, an address without a valid
 * entry.
 */
int neighbour_find(struct in_addr address, struct hwaddr *ret, struct error *error);

#endif
