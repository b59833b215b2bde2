/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsers for what the kernel says by rtnetlink. Its answer about one IPv4 address: which interface
 * leads to it (RTM_GETROUTE); felhomd finds out with it whether a peer is on a link of this host.
 * Its list of the host's addresses (RTM_GETADDR), and its notices about network devices
 * (RTNLGRP_LINK). Nothing here opens a socket.
 */
#ifndef FELHOM_NETLINK_ANSWER_H
#define FELHOM_NETLINK_ANSWER_H

#include <net/if.h>
#include <stdbool.h>
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

/* What has happened to a network device. */
struct netlink_link {
    int index;
    bool is_gone;           /* it is no device of this network namespace any more */
    char name[IF_NAMESIZE]; /* its name now, or its last one; "" if the notice does not say it */
};

/*
 * Parses the next notice about a device, RTM_NEWLINK or RTM_DELLINK, at or after byte *at of what
 * was received, and advances *at. A bridge's notices about its ports are none. Returns false if
 * there are no more. The end of a notice may be cut off.
 */
bool netlink_answer_next_link(const struct netlink_answer *answer, size_t *at,
                              struct netlink_link *ret);

/* An address of the host. */
struct netlink_address {
    unsigned int link;   /* the device that has it */
    struct cidr address; /* with all its bits, and the prefix of its network */
    bool is_of_link;     /* it is good on that link alone (fe80::1) */
};

enum netlink_item { NETLINK_MORE, NETLINK_ADDRESS, NETLINK_END, NETLINK_FAILED };

/*
 * Parses the next message at or after byte *at of what was received in answer to RTM_GETADDR, and
 * advances *at. NETLINK_MORE: all is read of what was received, and more is to come; NETLINK_END:
 * that was the last address; NETLINK_FAILED: the kernel refused.
 */
enum netlink_item netlink_answer_next_address(const struct netlink_answer *answer, size_t *at,
                                              struct netlink_address *ret);

#endif
