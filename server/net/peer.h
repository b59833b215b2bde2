/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client at the other end of a connection, as the gate found it when the connection was
 * accepted.
 */
#ifndef FELHOM_PEER_H
#define FELHOM_PEER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/base/address.h"
#include "schema/base/error.h"

/* Who the peer is. What each of them may present is in server/http/auth.c. */
enum peer_identity {
    PEER_UNKNOWN, /* not found out: the store or the kernel failed */
    PEER_UNBOUND, /* source_binding: off, so that nobody has looked */
    PEER_GUEST,   /* the guest vmid */
    PEER_HOST,    /* this host itself */
    PEER_ROUTED,  /* somebody behind a router, or behind the guest vmid, which routes for others */
    PEER_AMBIGUOUS, /* the hardware address of several guests, through a port of none */
};

struct peer {
    struct sockaddr_in address;
    char address_text[INET_ADDRSTRLEN];
    enum peer_identity identity;
    uint32_t vmid; /* the guest whose port it came through or whose hardware address it has; or 0 */
    bool has_hwaddr; /* the SYN came in an Ethernet frame, whose sender this is */
    struct hwaddr hwaddr;
    uint32_t source; /* the peer's row in the source table; only the gate uses it */
};

/* Writes the peer's name for events and logs: "guest 8200(192.168.0.7)",
 * "BC:24:11:...(192.168.0.7)" or the bare address. */
#define PEER_NAME_SIZE 64
void peer_name(const struct peer *peer, char ret[static PEER_NAME_SIZE]);

#endif
