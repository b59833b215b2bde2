/* SPDX-License-Identifier: Apache-2.0 */
#include "server/neighbour.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "schema/cleanup.h"

/* States in which the kernel itself would send to the entry's address. NOARP is left out: such an
 * entry is no answer of the peer. */
#define NUD_ANSWERED (NUD_PERMANENT | NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE)

/* A question about one IPv4 address: RTM_GETROUTE and RTM_GETNEIGH differ in the middle only, and
 * that is of one size. */
struct question {
    struct nlmsghdr header;
    union {
        struct rtmsg route;
        struct ndmsg neighbour;
    } about;
    struct rtattr attribute;
    struct in_addr address;
};
_Static_assert(sizeof(struct rtmsg) == sizeof(struct ndmsg), "one size for both");

struct answer {
    _Alignas(struct nlmsghdr) char bytes[4096];
    size_t length;
};

static int open_netlink(struct error *error)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    cleanup_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0 || connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
        return fail_errno(error, errno, "cannot ask the kernel for neighbours");
    return steal_fd(&fd);
}

static struct question question_new(uint16_t type, uint16_t attribute, struct in_addr address)
{
    return (struct question){
        .header = {.nlmsg_len = sizeof(struct question),
                   .nlmsg_type = type,
                   .nlmsg_flags = NLM_F_REQUEST},
        .attribute = {.rta_len = RTA_LENGTH(sizeof(address)), .rta_type = attribute},
        .address = address,
    };
}

/* Whether the answer is a whole message of the given type; an NLMSG_ERROR is none. */
static bool is_answer(const struct answer *answer, uint16_t type)
{
    const struct nlmsghdr *header = (const struct nlmsghdr *)answer->bytes;
    return NLMSG_OK(header, answer->length) && header->nlmsg_type == type &&
           header->nlmsg_len >= NLMSG_LENGTH(sizeof(struct rtmsg));
}

/* The kernel answers within send(): there is nothing to wait for afterwards. */
static int ask(int netlink, const struct question *question, uint16_t answer_type,
               struct answer *ret, struct error *error)
{
    if (send(netlink, question, sizeof(*question), 0) < 0)
        return fail_errno(error, errno, "cannot ask the kernel for neighbours");
    ssize_t length = recv(netlink, ret->bytes, sizeof(ret->bytes), MSG_DONTWAIT);
    if (length < 0)
        return fail_errno(error, errno, "no answer from the kernel about neighbours");
    ret->length = (size_t)length;
    if (!is_answer(ret, answer_type))
        return fail(error, ERROR_MISSING, "the kernel knows no such neighbour");
    return 0;
}

/* The content of an attribute if it is there with the given size, else NULL. */
static const void *attribute_find(const struct answer *answer, uint16_t type, size_t size)
{
    const struct nlmsghdr *header = (const struct nlmsghdr *)answer->bytes;
    size_t at = NLMSG_SPACE(sizeof(struct rtmsg));
    while (at + sizeof(struct rtattr) <= header->nlmsg_len) {
        const struct rtattr *attribute = (const void *)(answer->bytes + at);
        if (attribute->rta_len < sizeof(*attribute) || at + attribute->rta_len > header->nlmsg_len)
            return NULL;
        if (attribute->rta_type == type && attribute->rta_len == RTA_LENGTH(size))
            return RTA_DATA(attribute);
        at += RTA_ALIGN(attribute->rta_len);
    }
    return NULL;
}

static bool is_on_link(const struct answer *answer)
{
    const struct rtmsg *route = NLMSG_DATA(answer->bytes);
    return route->rtm_type == RTN_UNICAST &&
           !attribute_find(answer, RTA_GATEWAY, sizeof(struct in_addr)) &&
           !attribute_find(answer, RTA_VIA, sizeof(struct rtvia) + sizeof(struct in6_addr));
}

/* The interface over which the address is reached without a router. */
static int find_link(int netlink, struct in_addr address, int *ret_interface, struct error *error)
{
    struct question question = question_new(RTM_GETROUTE, RTA_DST, address);
    question.about.route = (struct rtmsg){.rtm_family = AF_INET, .rtm_dst_len = 32};
    struct answer answer = {.length = 0};
    if (ask(netlink, &question, RTM_NEWROUTE, &answer, error) < 0)
        return -1;
    const int *interface = attribute_find(&answer, RTA_OIF, sizeof(*interface));
    if (!interface || !is_on_link(&answer))
        return fail(error, ERROR_MISSING, "the peer is not on a link of this host");
    *ret_interface = *interface;
    return 0;
}

static int find_entry(int netlink, int interface, struct in_addr address, struct hwaddr *ret,
                      struct error *error)
{
    struct question question = question_new(RTM_GETNEIGH, NDA_DST, address);
    question.about.neighbour = (struct ndmsg){.ndm_family = AF_INET, .ndm_ifindex = interface};
    struct answer answer = {.length = 0};
    if (ask(netlink, &question, RTM_NEWNEIGH, &answer, error) < 0)
        return -1;
    const struct ndmsg *entry = NLMSG_DATA(answer.bytes);
    const void *hwaddr = attribute_find(&answer, NDA_LLADDR, sizeof(*ret));
    if (!hwaddr || !(entry->ndm_state & NUD_ANSWERED))
        return fail(error, ERROR_MISSING, "the neighbour has not answered");
    memcpy(ret, hwaddr, sizeof(*ret));
    return 0;
}

int neighbour_find(struct in_addr address, struct hwaddr *ret, struct error *error)
{
    int interface = 0;
    cleanup_close int netlink = open_netlink(error);
    if (netlink < 0 || find_link(netlink, address, &interface, error) < 0)
        return -1;
    return find_entry(netlink, interface, address, ret, error);
}
