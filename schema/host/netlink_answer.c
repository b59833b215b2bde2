/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/host/netlink_answer.h"

#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* States in which the kernel itself would send to the entry's address. NUD_NOARP is left out: the
 * peer has not answered for such an entry. */
#define NUD_ANSWERED (NUD_PERMANENT | NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE)

_Static_assert(sizeof(struct rtmsg) == sizeof(struct ndmsg), "one size for both");

/* Fails unless the answer is a complete message of the given type. NLMSG_ERROR is another type. */
static int answer_expect_type(const struct netlink_answer *answer, uint16_t type,
                              struct error *error)
{
    const struct nlmsghdr *header = (const struct nlmsghdr *)answer->bytes;
    if (NLMSG_OK(header, answer->length) && header->nlmsg_type == type &&
        header->nlmsg_len >= NLMSG_LENGTH(sizeof(struct rtmsg)))
        return 0;
    return fail(error, ERROR_MISSING, "the kernel knows no such neighbour");
}

/* Returns the attribute's content; NULL if the message has no such attribute of that size. */
static const void *attribute_find(const struct netlink_answer *answer, uint16_t type, size_t size)
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

static bool is_on_link(const struct netlink_answer *answer)
{
    const struct rtmsg *route = NLMSG_DATA(answer->bytes);
    return route->rtm_type == RTN_UNICAST &&
           !attribute_find(answer, RTA_GATEWAY, sizeof(struct in_addr)) &&
           !attribute_find(answer, RTA_VIA, sizeof(struct rtvia) + sizeof(struct in6_addr));
}

int netlink_answer_link(const struct netlink_answer *answer, int *ret_interface,
                        struct error *error)
{
    if (answer_expect_type(answer, RTM_NEWROUTE, error) < 0)
        return -1;
    const int *interface = attribute_find(answer, RTA_OIF, sizeof(*interface));
    if (!interface || !is_on_link(answer))
        return fail(error, ERROR_MISSING, "the peer is not on a link of this host");
    *ret_interface = *interface;
    return 0;
}

int netlink_answer_hwaddr(const struct netlink_answer *answer, struct hwaddr *ret,
                          struct error *error)
{
    if (answer_expect_type(answer, RTM_NEWNEIGH, error) < 0)
        return -1;
    const struct ndmsg *entry = NLMSG_DATA(answer->bytes);
    const void *hwaddr = attribute_find(answer, NDA_LLADDR, sizeof(*ret));
    if (!hwaddr || !(entry->ndm_state & NUD_ANSWERED))
        return fail(error, ERROR_MISSING, "the neighbour has not answered");
    memcpy(ret, hwaddr, sizeof(*ret));
    return 0;
}
