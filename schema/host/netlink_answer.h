/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parser for the kernel's rtnetlink answer about one IPv4 address: which interface leads to it
 * (RTM_GETROUTE). felhomd finds out with it whether a peer is on a link of this host. Nothing here
 * opens a socket.
 */
#ifndef FELHOM_NETLINK_ANSWER_H
#define FELHOM_NETLINK_ANSWER_H

#include <stddef.h>

#include "schema/base/error.h"

#define NETLINK_ANSWER_MAX 4096

/* An answer as received from the socket; it begins with the message header. */
struct netlink_answer {
    _Alignas(8) char bytes[NETLINK_ANSWER_MAX];
    size_t length;
};

/*
 * Parses the answer to RTM_GETROUTE: *ret_interface becomes the index of the interface through
 * which the address is reached directly. ERROR_MISSING if the address is behind a router or there
 * is no route.
 */
int netlink_answer_link(const struct netlink_answer *answer, int *ret_interface,
                        struct error *error);

#endif
