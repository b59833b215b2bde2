/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/host/netlink_answer.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Fails unless the answer is a complete route. NLMSG_ERROR is another type. */
static int answer_expect_route(const struct netlink_answer *answer, struct error *error)
{
    const struct nlmsghdr *header = (const struct nlmsghdr *)answer->bytes;
    if (NLMSG_OK(header, answer->length) && header->nlmsg_type == RTM_NEWROUTE &&
        header->nlmsg_len >= NLMSG_LENGTH(sizeof(struct rtmsg)))
        return 0;
    return fail(error, ERROR_MISSING, "the kernel knows no route to the peer");
}

/* Returns the attribute of this type between the two bytes; NULL if there is none. */
static const struct rtattr *attribute_between(const struct netlink_answer *answer, size_t at,
                                              size_t end, uint16_t type)
{
    while (at + sizeof(struct rtattr) <= end) {
        const struct rtattr *attribute = (const void *)(answer->bytes + at);
        if (attribute->rta_len < sizeof(*attribute) || at + attribute->rta_len > end)
            return NULL;
        if (attribute->rta_type == type)
            return attribute;
        at += RTA_ALIGN(attribute->rta_len);
    }
    return NULL;
}

/* Returns the attribute's content; NULL if the route has no such attribute of that size. */
static const void *attribute_find(const struct netlink_answer *answer, uint16_t type, size_t size)
{
    const struct nlmsghdr *header = (const struct nlmsghdr *)answer->bytes;
    const struct rtattr *attribute =
        attribute_between(answer, NLMSG_SPACE(sizeof(struct rtmsg)), header->nlmsg_len, type);
    return attribute && attribute->rta_len == RTA_LENGTH(size) ? RTA_DATA(attribute) : NULL;
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

static void link_copy_name(const struct netlink_answer *answer, size_t at, size_t end,
                           struct netlink_link *ret)
{
    const struct rtattr *attribute = attribute_between(answer, at, end, IFLA_IFNAME);
    size_t size = attribute ? RTA_PAYLOAD(attribute) : 0;
    if (size > 0)
        memcpy(ret->name, RTA_DATA(attribute), size < IF_NAMESIZE ? size : IF_NAMESIZE - 1);
}

/* Reads the notice between the two bytes. */
static bool link_parse(const struct netlink_answer *answer, size_t at, size_t end,
                       struct netlink_link *ret)
{
    const struct nlmsghdr *header = (const void *)(answer->bytes + at);
    struct ifinfomsg info;
    if ((header->nlmsg_type != RTM_NEWLINK && header->nlmsg_type != RTM_DELLINK) ||
        end - at < NLMSG_LENGTH(sizeof info))
        return false;
    memcpy(&info, answer->bytes + at + NLMSG_HDRLEN, sizeof info);
    *ret = (struct netlink_link){.index = info.ifi_index,
                                 .is_gone = header->nlmsg_type == RTM_DELLINK};
    link_copy_name(answer, at + NLMSG_SPACE(sizeof info), end, ret);
    return info.ifi_family == AF_UNSPEC;
}

bool netlink_answer_next_link(const struct netlink_answer *answer, size_t *at,
                              struct netlink_link *ret)
{
    while (*at + sizeof(struct nlmsghdr) <= answer->length) {
        const struct nlmsghdr *header = (const void *)(answer->bytes + *at);
        size_t begin = *at;
        size_t left = answer->length - begin;
        size_t length = header->nlmsg_len < left ? header->nlmsg_len : left;
        if (length < sizeof *header)
            return false;
        *at += NLMSG_ALIGN(length);
        if (link_parse(answer, begin, begin + length, ret))
            return true;
    }
    return false;
}

/* A point-to-point link has its own address in IFA_LOCAL, and the other end's in IFA_ADDRESS. */
static bool address_parse(const struct netlink_answer *answer, size_t at, size_t end,
                          struct netlink_address *ret)
{
    struct ifaddrmsg info;
    if (end - at < NLMSG_LENGTH(sizeof info))
        return false;
    memcpy(&info, answer->bytes + at + NLMSG_HDRLEN, sizeof info);
    size_t size = info.ifa_family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
    if ((info.ifa_family != AF_INET && info.ifa_family != AF_INET6) ||
        info.ifa_prefixlen > 8 * size)
        return false;
    at += NLMSG_SPACE(sizeof info);
    const struct rtattr *address = attribute_between(answer, at, end, IFA_LOCAL);
    if (!address)
        address = attribute_between(answer, at, end, IFA_ADDRESS);
    if (!address || RTA_PAYLOAD(address) != size)
        return false;
    *ret = (struct netlink_address){
        .link = info.ifa_index,
        .address = {.family = info.ifa_family, .prefix = info.ifa_prefixlen},
        .is_of_link = info.ifa_scope == RT_SCOPE_LINK,
    };
    memcpy(&ret->address.address, RTA_DATA(address), size);
    return true;
}

enum netlink_item netlink_answer_next_address(const struct netlink_answer *answer, size_t *at,
                                              struct netlink_address *ret)
{
    while (*at + sizeof(struct nlmsghdr) <= answer->length) {
        const struct nlmsghdr *header = (const void *)(answer->bytes + *at);
        size_t begin = *at;
        if (header->nlmsg_type == NLMSG_DONE)
            return NETLINK_END;
        if (header->nlmsg_type == NLMSG_ERROR || header->nlmsg_len < sizeof *header ||
            header->nlmsg_len > answer->length - begin)
            return NETLINK_FAILED;
        *at += NLMSG_ALIGN(header->nlmsg_len);
        if (header->nlmsg_type == RTM_NEWADDR &&
            address_parse(answer, begin, begin + header->nlmsg_len, ret))
            return NETLINK_ADDRESS;
    }
    return NETLINK_MORE;
}
