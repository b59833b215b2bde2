/* SPDX-License-Identifier: Apache-2.0 */
#include "store/host/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

/* Where the kernel has strict checks (4.20), it lists the addresses of one device alone. */
int host_netlink_open(int *ret_fd, struct error *error)
{
    const int on = 1;
    cleanup_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return fail_errno(error, errno, "cannot query the kernel's routes");
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
    *ret_fd = steal_fd(&fd);
    return 0;
}

static int netlink_ask(int fd, const void *request, size_t length, struct error *error)
{
    if (send(fd, request, length, 0) < 0)
        return fail_errno(error, errno, "cannot query the kernel's routes");
    return 0;
}

/* The kernel answers within send(), or within recv() for what follows, so recv() need not wait. */
static int netlink_receive(int fd, struct netlink_answer *ret, struct error *error)
{
    ssize_t length = recv(fd, ret->bytes, sizeof ret->bytes, MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0)
        return fail_errno(error, errno, "the kernel did not answer a query of its routes");
    if ((size_t)length > sizeof ret->bytes)
        return fail(error, ERROR_SYSTEM, "the kernel's answer about its addresses is too long");
    ret->length = (size_t)length;
    return 0;
}

/* --- addresses --- */

struct address_request {
    struct nlmsghdr header;
    struct ifaddrmsg address;
};

static int addresses_receive(int fd, unsigned int link, struct netlink_address **list,
                             size_t *count, struct error *error)
{
    enum netlink_item item = NETLINK_MORE;
    while (item == NETLINK_MORE) {
        size_t at = 0;
        struct netlink_address address;
        struct netlink_answer answer = {.length = 0};
        if (netlink_receive(fd, &answer, error) < 0)
            return -1;
        while ((item = netlink_answer_next_address(&answer, &at, &address)) == NETLINK_ADDRESS) {
            if (link != 0 && address.link != link)
                continue;
            *list = mem_grow(*list, *count, sizeof **list);
            (*list)[(*count)++] = address;
        }
    }
    return item == NETLINK_END
               ? 0
               : fail(error, ERROR_SYSTEM, "the kernel does not say which addresses it has");
}

int host_addresses(int fd, unsigned int link, struct netlink_address **ret, size_t *ret_count,
                   struct error *error)
{
    cleanup_free struct netlink_address *list = NULL;
    size_t count = 0;
    const struct address_request request = {
        .header = {.nlmsg_len = sizeof request,
                   .nlmsg_type = RTM_GETADDR,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .address = {.ifa_family = AF_UNSPEC, .ifa_index = link},
    };
    if (netlink_ask(fd, &request, sizeof request, error) < 0 ||
        addresses_receive(fd, link, &list, &count, error) < 0)
        return -1;
    *ret = steal(list);
    *ret_count = count;
    return 0;
}

/* --- routes --- */

struct route_request {
    struct nlmsghdr header;
    struct rtmsg route;
    struct rtattr address_header;
    struct in_addr address;
    struct rtattr interface_header;
    int interface;
};

int host_route_link(int fd, struct in_addr address, int interface, int *ret, struct error *error)
{
    struct netlink_answer answer = {.length = 0};
    struct route_request request = {
        .header = {.nlmsg_len = sizeof request,
                   .nlmsg_type = RTM_GETROUTE,
                   .nlmsg_flags = NLM_F_REQUEST},
        .route = {.rtm_family = AF_INET, .rtm_dst_len = 32},
        .address_header = {RTA_LENGTH(sizeof address), RTA_DST},
        .address = address,
        .interface_header = {RTA_LENGTH(sizeof(int)), RTA_OIF},
        .interface = interface,
    };
    /* Without an interface the host's own choice is asked for. */
    if (interface == 0)
        request.header.nlmsg_len = offsetof(struct route_request, interface_header);
    if (netlink_ask(fd, &request, request.header.nlmsg_len, error) < 0 ||
        netlink_receive(fd, &answer, error) < 0)
        return -1;
    return netlink_answer_link(&answer, ret, error);
}
