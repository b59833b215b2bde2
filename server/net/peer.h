/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client at the other end of a connection, as the gate found it when the connection was
 * accepted: the address comes from the socket, the MAC from the kernel's neighbour table.
 */
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
    bool has_hwaddr; /* the peer is on the link, and its MAC is known */
    struct hwaddr hwaddr;
    uint32_t source; /* the peer's row in the source table; only the gate uses it */
};

/* Writes the peer's name for events and logs: "BC:24:11:...(192.168.0.7)" or the bare address. */
#define PEER_NAME_SIZE 64
void peer_name(const struct peer *peer, char ret[static PEER_NAME_SIZE]);

/*
 * Finds the hardware address of an IPv4 address on the link that the host's packets to it take, so
 * that the same address on another link is not confused with it. ERROR_MISSING if there is none:
 * for the host itself (loopback or any address of its own), for a peer behind a router, and for an
 * address without a valid entry in the neighbour table.
 */
int peer_find_hwaddr(struct in_addr address, struct hwaddr *ret, struct error *error);

#endif
