/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsers for the kernel's rtnetlink answers about one IPv4 address: which interface leads to it
 * (RTM_GETROUTE) and which hardware address answers for it (RTM_GETNEIGH). felhomd uses them to
 * find out which guest a connection comes from. Nothing here opens a socket.
 */
#ifndef FELHOM_NETLINK_ANSWER_H
#define FELHOM_NETLINK_ANSWER_H

#include <stddef.h>

#include "schema/base/address.h"
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

/* Parses the answer to RTM_GETNEIGH: *ret becomes the hardware address of the neighbour.
 * ERROR_MISSING if no neighbour has answered. */
int netlink_answer_hwaddr(const struct netlink_answer *answer, struct hwaddr *ret,
                          struct error *error);

#endif
