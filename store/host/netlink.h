/* SPDX-License-Identifier: Apache-2.0 */
/* Queries of the kernel's addresses and routes. They cost no list of the host's network devices, of
 * which there are thousands where many guests run. */
#ifndef FELHOM_HOST_NETLINK_H
#define FELHOM_HOST_NETLINK_H

#include <netinet/in.h>
#include <stddef.h>

#include "schema/base/error.h"
#include "schema/host/netlink_answer.h"

/* Opens a socket for the queries below, which the caller closes. */
int host_netlink_open(int *ret_fd, struct error *error);

/* Lists the addresses of both families that a device has, or the whole host (link 0). The caller
 * frees *ret with free(). */
int host_addresses(int fd, unsigned int link, struct netlink_address **ret, size_t *ret_count,
                   struct error *error);

/* Sets *ret to the device on whose link the address is; interface: the device by which it is asked
 * for, 0: any. ERROR_MISSING if the address is behind a router, or there is no route to it. */
int host_route_link(int fd, struct in_addr address, int interface, int *ret, struct error *error);

#endif
