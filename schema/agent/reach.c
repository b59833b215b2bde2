/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/reach.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

#define NO_FAULT REACH_REASONS

/* --- addresses --- */

static struct cidr address_of(const struct reach_listener *listener)
{
    struct cidr address = {.family = AF_UNSPEC};
    (void)cidr_of_address((const struct sockaddr *)&listener->address, &address);
    return address;
}

static bool is_same_address(const struct cidr *one, const struct cidr *other)
{
    return cidr_holds(one, other) && cidr_holds(other, one);
}

static bool is_local(const struct reach_listener *listener)
{
    const struct cidr address = address_of(listener);
    if (address.family == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(&address.address.v6) ||
               IN6_IS_ADDR_LOOPBACK(&address.address.v6);
    uint32_t number = ntohl(address.address.v4.s_addr);
    return number == INADDR_ANY || number >> 24 == IN_LOOPBACKNET;
}

/* --- what the configuration says of a NIC --- */

static const char *nic_address_text(const struct nic *nic, sa_family_t family)
{
    if (family == AF_INET)
        return nic->ip;
    const char *text = nic_property(nic, nic->raw ? "ipv6.address" : "ip6");
    return text ? text : "";
}

/* Returns true if the NIC has a static address of this family. */
static bool nic_static_address(const struct nic *nic, sa_family_t family, struct cidr *ret_address,
                               struct cidr *ret_network)
{
    const char *text = nic_address_text(nic, family);
    cleanup_free char *address = mem_copy_text_n(text, strcspn(text, "/"));
    return cidr_parse_host(text, ret_network) && cidr_parse_host(address, ret_address) &&
           ret_address->family == family;
}

static bool nic_lacks_family(const struct nic *nic, sa_family_t family)
{
    sa_family_t other = family == AF_INET ? AF_INET6 : AF_INET;
    return !*nic_address_text(nic, family) && *nic_address_text(nic, other);
}

static bool nic_is_of_other_kind(const struct nic *nic, enum guest_kind kind)
{
    const char *type = nic_property(nic, "type");
    if (nic->raw)
        return type && strcmp(type, "veth") != 0;
    return kind == GUEST_QEMU && !*nic->bridge;
}

/* --- the verdict --- */

/* One NIC and one listener. */
struct judging {
    const struct reach_host *host;
    const struct reach_nic *nic;
    const struct reach_listener *listener;
    struct reach *reach;
    bool has_static; /* with the next two */
    struct cidr address;
    struct cidr network;
};

static enum reach_reason nic_fault(const struct reach_host *host, const struct reach_guest *guest,
                                   const struct reach_nic *nic)
{
    const char *link_down = nic_property(nic->nic, "link_down");
    if (link_down && strcmp(link_down, "1") == 0)
        return REACH_LINK_DOWN;
    if (nic_is_of_other_kind(nic->nic, guest->config->kind))
        return REACH_OTHER_KIND;
    if (!*nic->nic->bridge)
        return REACH_NO_BRIDGE;
    if (nic->bridge == 0)
        return REACH_BRIDGE_MISSING;
    if (!nic->bridge_is_up)
        return REACH_BRIDGE_DOWN;
    return host->listener_count == 0 ? REACH_NO_LISTENER : NO_FAULT;
}

/* Returns the next address of the host on the NIC's link, of the listener's family, from *at on;
 * NULL if there is none. */
static const struct reach_address *next_address(const struct judging *judging, size_t *at)
{
    const struct reach_host *host = judging->host;
    while (*at < host->address_count) {
        const struct reach_address *address = &host->addresses[(*at)++];
        if (judging->nic->link != 0 && address->link == judging->nic->link &&
            address->address.family == judging->listener->address.ss_family)
            return address;
    }
    return NULL;
}

static bool host_is_on_link(const struct judging *judging)
{
    size_t at = 0;
    return next_address(judging, &at) != NULL;
}

/* Returns how much of the network is let in: all, nothing, or REACH_UNKNOWN: some of it. */
static enum reach_verdict network_allowed(const struct judging *judging, const struct cidr *network)
{
    const struct reach_host *host = judging->host;
    const struct cidr own = address_of(judging->listener);
    enum reach_verdict best = REACH_NO;
    size_t count = host->allow_count > 0 ? host->allow_count : host->address_count;
    for (size_t i = 0; i < count && best != REACH_YES; i++) {
        const struct cidr *allowed =
            host->allow_count > 0 ? &host->allow[i] : &host->addresses[i].network;
        if (host->allow_count == 0 && !is_same_address(&host->addresses[i].address, &own))
            continue;
        if (cidr_holds(allowed, network))
            best = REACH_YES;
        else if (cidr_holds(network, allowed))
            best = REACH_UNKNOWN;
    }
    return best;
}

/* Returns how much is let in of the networks of the host's own on the NIC's link, for a NIC whose
 * address is not known. Of an address without a network nothing says where its guests are. */
static enum reach_verdict link_allowed(const struct judging *judging)
{
    size_t at = 0;
    const struct reach_address *address;
    enum reach_verdict best = REACH_NO;
    while (best != REACH_YES && (address = next_address(judging, &at))) {
        enum reach_verdict verdict = network_allowed(judging, &address->network);
        bool is_single = cidr_is_single(&address->network);
        if (is_single && verdict == REACH_YES)
            verdict = judging->host->allow_count > 0 ? REACH_UNKNOWN : REACH_NO;
        if (best == REACH_NO && !is_single)
            judging->reach->peer = address->network;
        if (verdict > best)
            best = verdict;
    }
    return best;
}

/* By default the network of felhomd's own address is let in: which of a /32 is the host alone. */
static bool is_host_alone(const struct judging *judging)
{
    const struct reach_host *host = judging->host;
    const struct cidr own = address_of(judging->listener);
    for (size_t i = 0; host->allow_count == 0 && i < host->address_count; i++)
        if (is_same_address(&host->addresses[i].address, &own) &&
            cidr_is_single(&host->addresses[i].network))
            return host->addresses[i].link == judging->nic->link;
    return false;
}

static enum reach_reason peer_fault(const struct judging *judging)
{
    enum reach_verdict verdict;
    if (judging->has_static) {
        judging->reach->peer = judging->address;
        verdict = network_allowed(judging, &judging->address);
    } else {
        verdict = link_allowed(judging);
    }
    if (verdict == REACH_YES)
        return NO_FAULT;
    if (verdict == REACH_UNKNOWN)
        return REACH_ALLOWED_IN_PART;
    return is_host_alone(judging) ? REACH_HOST_ALONE : REACH_NOT_ALLOWED;
}

static bool is_hosts_address_on_link(const struct judging *judging, const struct cidr *address)
{
    size_t at = 0;
    const struct reach_address *one;
    while ((one = next_address(judging, &at)))
        if (is_same_address(&one->address, address))
            return true;
    return false;
}

/* Whether the guest's packets find the way to the host, and the host's answers the way back. */
static enum reach_reason route_fault(const struct judging *judging)
{
    struct cidr gateway;
    const struct cidr own = address_of(judging->listener);
    const struct nic *nic = judging->nic->nic;
    if (!judging->has_static)
        return NO_FAULT;
    if (judging->nic->route != judging->nic->link)
        return REACH_NO_ROUTE;
    if (cidr_holds(&judging->network, &own) || nic->raw)
        return NO_FAULT;
    const char *text = nic_property(nic, own.family == AF_INET ? "gw" : "gw6");
    if (!text || !cidr_parse_host(text, &gateway))
        return REACH_NO_GATEWAY;
    return is_hosts_address_on_link(judging, &gateway) ? NO_FAULT : REACH_OTHER_GATEWAY;
}

static enum reach_reason binding_fault(const struct judging *judging)
{
    const struct reach_nic *nic = judging->nic;
    if (judging->host->binding == BINDING_OFF)
        return NO_FAULT;
    if (!nic->has_port && judging->host->binding == BINDING_REQUIRE)
        return REACH_NEEDS_PORT;
    if (!nic->has_port && !nic->nic->has_hwaddr)
        return REACH_NO_HWADDR;
    return nic->shared_with ? REACH_SAME_HWADDR : NO_FAULT;
}

/* A router on the NIC's link may lead to felhomd where the host itself is not. */
static enum reach_reason absence_fault(const struct judging *judging)
{
    if (judging->has_static && judging->host->allow_count > 0 &&
        network_allowed(judging, &judging->address) == REACH_YES)
        return REACH_OTHER_GATEWAY;
    return nic_property(judging->nic->nic, "tag") ? REACH_NO_VLAN_ADDRESS : REACH_NO_ADDRESS;
}

static enum reach_reason listener_fault(const struct judging *judging)
{
    const struct reach_listener *listener = judging->listener;
    enum reach_reason fault;
    if (is_local(listener))
        return REACH_LOCAL_LISTENER;
    if (listener->bound && listener->link != judging->nic->link)
        return REACH_OTHER_LINK;
    if (nic_lacks_family(judging->nic->nic, listener->address.ss_family))
        return REACH_OTHER_FAMILY;
    if (!host_is_on_link(judging))
        return absence_fault(judging);
    if ((fault = peer_fault(judging)) != NO_FAULT || (fault = route_fault(judging)) != NO_FAULT ||
        (fault = binding_fault(judging)) != NO_FAULT)
        return fault;
    if (judging->nic->firewall_drops)
        return REACH_GUEST_FIREWALL;
    return judging->host->firewall_drops ? REACH_HOST_FIREWALL : NO_FAULT;
}

static enum reach_verdict verdict_of(enum reach_reason reason, const struct reach_nic *nic)
{
    switch (reason) {
    case REACH_ON_LINK:
    case REACH_BY_HOST:
    case REACH_BY_DOOR:
        return REACH_YES;
    case REACH_OTHER_KIND:
    case REACH_ALLOWED_IN_PART:
    case REACH_OTHER_GATEWAY:
        return REACH_UNKNOWN;
    case REACH_SAME_HWADDR:
        return nic->shared_is_up ? REACH_NO : REACH_UNKNOWN;
    default:
        return REACH_NO;
    }
}

static struct reach judge_listener(const struct reach_host *host, const struct reach_nic *nic,
                                   const struct reach_listener *listener, struct reach reach)
{
    struct judging judging = {.host = host, .nic = nic, .listener = listener, .reach = &reach};
    judging.has_static = nic_static_address(nic->nic, listener->address.ss_family, &judging.address,
                                            &judging.network);
    reach.listener = listener;
    reach.reason = listener_fault(&judging);
    if (reach.reason == NO_FAULT)
        reach.reason = nic->link == listener->link ? REACH_ON_LINK : REACH_BY_HOST;
    reach.verdict = verdict_of(reach.reason, nic);
    return reach;
}

struct reach reach_judge(const struct reach_host *host, const struct reach_guest *guest,
                         const struct reach_nic *nic)
{
    struct reach plain = {.nic = nic->nic, .shared_with = nic->shared_with};
    memcpy(plain.link_name, nic->link_name, sizeof plain.link_name);
    plain.reason = nic_fault(host, guest, nic);
    if (plain.reason != NO_FAULT) {
        plain.verdict = verdict_of(plain.reason, nic);
        return plain;
    }
    struct reach best = judge_listener(host, nic, &host->listeners[0], plain);
    for (size_t i = 1; i < host->listener_count; i++) {
        const struct reach next = judge_listener(host, nic, &host->listeners[i], plain);
        if (next.verdict > best.verdict)
            best = next;
    }
    return best;
}

struct reach reach_of_guest(const struct reach_host *host, const struct reach_guest *guest,
                            const struct reach *nics, size_t count)
{
    struct reach best = {.verdict = REACH_NO, .reason = REACH_NO_NIC};
    if (host->door && guest->config->kind == GUEST_LXC)
        return (struct reach){.verdict = REACH_YES, .reason = REACH_BY_DOOR};
    for (size_t i = 0; i < count; i++)
        if (i == 0 || nics[i].verdict > best.verdict)
            best = nics[i];
    return best;
}

struct reach reach_of_shared(const struct nic *nic, uint32_t shared_with)
{
    return (struct reach){.verdict = REACH_UNKNOWN,
                          .reason = REACH_SAME_HWADDR,
                          .nic = nic,
                          .shared_with = shared_with};
}
