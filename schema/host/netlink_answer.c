/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/host/netlink_answer.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* Fails unless the answer is a complete route. NLMSG_ERROR is another type. */
static int answer_expect_route(const struct netlink_answer *answer, struct error *error)
{
    const struct nlmsghdr *header = (const struct nlmsghdr *)answer->bytes;
    if (NLMSG_OK(header, answer->length) && header->nlmsg_type == RTM_NEWROUTE &&
        header->nlmsg_len >= NLMSG_LENGTH(sizeof(struct rtmsg)))
        return 0;
    return fail(error, ERROR_MISSING, "the kernel knows no route to the peer");
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
    if (answer_expect_route(answer, error) < 0)
        return -1;
    const int *interface = attribute_find(answer, RTA_OIF, sizeof(*interface));
    if (!interface || !is_on_link(answer))
        return fail(error, ERROR_MISSING, "the peer is not on a link of this host");
    *ret_interface = *interface;
    return 0;
}
