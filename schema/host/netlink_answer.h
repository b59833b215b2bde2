/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel answers over netlink about one IPv4 address. */
#ifndef FELHOM_NETLINK_ANSWER_H
#define FELHOM_NETLINK_ANSWER_H

#include <stddef.h>

#include "schema/base/address.h"
#include "schema/base/error.h"

#define NETLINK_ANSWER_MAX 4096

/* As received; a message's head stands at its start. */
struct netlink_answer {
    _Alignas(8) char bytes[NETLINK_ANSWER_MAX];
    size_t length;
};

/* To RTM_GETROUTE: the interface over which the address is reached without a router. ERROR_MISSING
 * where there is none. */
int netlink_answer_link(const struct netlink_answer *answer, int *ret_interface,
                        struct error *error);

/* To RTM_GETNEIGH: the hardware address that has answered for it. ERROR_MISSING where none has. */
int netlink_answer_hwaddr(const struct netlink_answer *answer, struct hwaddr *ret,
                          struct error *error);

#endif
