/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is at the other end of a connection, as the gate found out when the connection was made: the
 * address from the socket, the MAC from the kernel's neighbour table.
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
    uint32_t source; /* its row in the table of sources; for the gate alone */
};

/* Writes how a peer is named in events and logs: "BC:24:11:...(192.168.0.7)" or the bare address.
 */
#define PEER_NAME_SIZE 64
void peer_name(const struct peer *peer, char ret[static PEER_NAME_SIZE]);

/*
 * Finds the hardware address that answers for an IPv4 address on the link that our packets to it
 * take, so that it cannot be mistaken for the same address on another link. ERROR_MISSING if there
 * is none: for the host itself (the loopback or any address of its own), a peer behind a router, an
 * address without a valid entry in the neighbour table.
 */
int peer_find_hwaddr(struct in_addr address, struct hwaddr *ret, struct error *error);

#endif
