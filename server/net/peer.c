/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/peer.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/socket.h>

#include "schema/base/cleanup.h"
#include "schema/host/netlink_answer.h"

/* A netlink request about one IPv4 address. RTM_GETROUTE and RTM_GETNEIGH differ only in the member
 * about, which has the same size in both. */
struct netlink_request {
    struct nlmsghdr header;
    union {
        struct rtmsg route;
        struct ndmsg neighbour;
    } about;
    struct rtattr attribute;
    struct in_addr address;
};
_Static_assert(sizeof(struct rtmsg) == sizeof(struct ndmsg), "both requests have one layout");

static int open_netlink(struct error *error)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    cleanup_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0 || connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
        return fail_errno(error, errno, "cannot query the kernel's neighbour table");
    return steal_fd(&fd);
}

static struct netlink_request netlink_request_new(uint16_t type, uint16_t attribute,
                                                  struct in_addr address)
{
    return (struct netlink_request){
        .header = {.nlmsg_len = sizeof(struct netlink_request),
                   .nlmsg_type = type,
                   .nlmsg_flags = NLM_F_REQUEST},
        .attribute = {.rta_len = RTA_LENGTH(sizeof(address)), .rta_type = attribute},
        .address = address,
    };
}

/* The kernel answers within send(), so the recv() need not wait. */
static int netlink_ask(int netlink, const struct netlink_request *request,
                       struct netlink_answer *ret, struct error *error)
{
    if (send(netlink, request, sizeof(*request), 0) < 0)
        return fail_errno(error, errno, "cannot query the kernel's neighbour table");
    ssize_t length = recv(netlink, ret->bytes, sizeof(ret->bytes), MSG_DONTWAIT);
    if (length < 0)
        return fail_errno(error, errno, "the kernel did not answer a query of its neighbour table");
    ret->length = (size_t)length;
    return 0;
}

static int find_interface(int netlink, struct in_addr address, int *ret_interface,
                          struct error *error)
{
    struct netlink_request request = netlink_request_new(RTM_GETROUTE, RTA_DST, address);
    request.about.route = (struct rtmsg){.rtm_family = AF_INET, .rtm_dst_len = 32};
    struct netlink_answer answer = {.length = 0};
    if (netlink_ask(netlink, &request, &answer, error) < 0)
        return -1;
    return netlink_answer_link(&answer, ret_interface, error);
}

static int find_neighbour(int netlink, int interface, struct in_addr address, struct hwaddr *ret,
                          struct error *error)
{
    struct netlink_request request = netlink_request_new(RTM_GETNEIGH, NDA_DST, address);
    request.about.neighbour = (struct ndmsg){.ndm_family = AF_INET, .ndm_ifindex = interface};
    struct netlink_answer answer = {.length = 0};
    if (netlink_ask(netlink, &request, &answer, error) < 0)
        return -1;
    return netlink_answer_hwaddr(&answer, ret, error);
}

int peer_find_hwaddr(struct in_addr address, struct hwaddr *ret, struct error *error)
{
    int interface = 0;
    cleanup_close int netlink = open_netlink(error);
    if (netlink < 0 || find_interface(netlink, address, &interface, error) < 0)
        return -1;
    return find_neighbour(netlink, interface, address, ret, error);
}

void peer_name(const struct peer *peer, char ret[static PEER_NAME_SIZE])
{
    char hwaddr[HWADDR_TEXT_SIZE];
    if (!peer->has_hwaddr) {
        (void)snprintf(ret, PEER_NAME_SIZE, "%s", peer->address_text);
        return;
    }
    hwaddr_format(&peer->hwaddr, hwaddr);
    (void)snprintf(ret, PEER_NAME_SIZE, "%s(%s)", hwaddr, peer->address_text);
}
