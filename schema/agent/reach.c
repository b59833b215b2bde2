/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/reach.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"

/* --- the table --- */

#define PROBE    "felhomctl doctor --probe {vmid}"
#define EDIT     "editor {settings} && systemctl reload felhomd"
#define RESTART  "editor {settings} && felhomctl init && systemctl restart felhomd"
#define ANOTHER  "{set} --{new-key} '{new-setting}'"
#define ON_HOME  "or give the guest a NIC on {home} as well"
#define NO_FAULT REACH_REASONS

/* What stands in braces is filled in by text_value. A remedy that changes a NIC's setting is no
 * command of Proxmox's for a NIC of lxc.net.N.* lines: then it is to edit them. */
static const struct row {
    const char *name;
    const char *words;
    const char *remedy; /* NULL: none */
} rows[REACH_REASONS] = {
    [REACH_ON_LINK] = {"on-link", "{nic} reaches felhomd ({endpoint}) on {link}", NULL},
    [REACH_BY_HOST] = {"by-host",
                       "{nic} reaches felhomd ({endpoint}) by the host's address on {link}", NULL},
    [REACH_BY_DOOR] = {"by-door", "the guest reaches felhomd without a network", NULL},
    [REACH_NO_NIC] = {"no-nic", "the guest has no NIC, so that it cannot reach felhomd", ANOTHER},
    [REACH_LINK_DOWN] = {"link-down", "{nic} has link_down=1: nothing gets through it",
                         "{set} --{nic} '{setting-up}'"},
    [REACH_NO_BRIDGE] = {"no-bridge", "{nic} is on no bridge of this host",
                         "{set} --{nic} '{setting-home}'"},
    [REACH_BRIDGE_MISSING] = {"bridge-missing",
                              "this host has no bridge {bridge}, where {nic} is to be: an SDN vnet "
                              "that is not on this node, or a typing mistake",
                              "{set} --{nic} '{setting-home}'"},
    [REACH_BRIDGE_DOWN] = {"bridge-down", "bridge {bridge}, where {nic} is, is down",
                           "ip link set {bridge} up"},
    [REACH_OTHER_KIND] = {"other-kind",
                          "{nic} is on no bridge of Proxmox's: where it leads cannot be seen",
                          PROBE},
    [REACH_NO_LISTENER] = {"no-listener", "felhomd has no address to listen on: {problem}",
                           RESTART},
    [REACH_LOCAL_LISTENER] = {"local-listener",
                              "guests are told that felhomd is at {endpoint}, which for each of "
                              "them is itself: set local_api.listen to an address of this host's",
                              RESTART},
    [REACH_OTHER_LINK] = {"other-link",
                          "felhomd does not listen on {link}, where {nic} is; set it "
                          "up there, " ON_HOME,
                          ANOTHER},
    [REACH_OTHER_FAMILY] = {"other-family",
                            "{nic} has IPv6 alone, and felhomd listens on IPv4 ({endpoint})",
                            "{set} --{nic} '{setting-ip}'"},
    [REACH_NO_ADDRESS] =
        {"no-address",
         "{nic} is on {link}, where this host has no address: felhomd "
         "({endpoint}) is not there; give the host one and allow its network, " ON_HOME,
         ANOTHER},
    [REACH_NO_VLAN_ADDRESS] = {"no-vlan-address",
                               "{nic} is in VLAN {tag}, and this host has no address on {link}: "
                               "felhomd ({endpoint}) is not there; give the host one and allow "
                               "its network, " ON_HOME,
                               ANOTHER},
    [REACH_HOST_ALONE] = {"host-alone",
                          "{link} has an address without a network, so that felhomd lets in the "
                          "host alone; set local_api.allow: {allow}",
                          EDIT},
    [REACH_NOT_ALLOWED] = {"not-allowed",
                           "felhomd does not let in {peer}, from where {nic} comes; set "
                           "local_api.allow: {allow}",
                           EDIT},
    [REACH_ALLOWED_IN_PART] = {"allowed-in-part",
                               "felhomd lets in some of {peer}, from where {nic} comes, and "
                               "whether {nic} gets such an address cannot be seen",
                               PROBE},
    [REACH_NO_GATEWAY] = {"no-gateway",
                          "{nic} has the address {peer} and no gateway: it has no way to felhomd "
                          "({endpoint})",
                          "{set} --{nic} '{setting-gw}'"},
    [REACH_OTHER_GATEWAY] = {"other-gateway",
                             "{nic} can reach felhomd ({endpoint}) only by way of another machine",
                             PROBE},
    [REACH_NO_ROUTE] = {"no-route",
                        "{nic} has the address {peer}, to which this host has no route by {link}",
                        "ip route add {peer} dev {link}"},
    [REACH_NEEDS_PORT] = {"needs-port",
                          "{nic} has no port by which the guest is known, as "
                          "local_api.source_binding: require wants; set it to auto, " ON_HOME,
                          ANOTHER},
    [REACH_NO_HWADDR] = {"no-hwaddr",
                         "{nic} has neither a port nor a hardware address by which the guest is "
                         "known: set {nic}.hwaddr",
                         "editor {config}"},
    [REACH_SAME_HWADDR] = {"same-hwaddr",
                           "{nic} has the address {hwaddr} that guest {other} has as well, so "
                           "felhomd may refuse both",
                           "{set} --{nic} '{setting-hwaddr}'"},
    [REACH_GUEST_FIREWALL] = {"guest-firewall",
                              "Proxmox's firewall is on for {nic}, and lets nothing out to port "
                              "{port}",
                              "pvesh create {api}/firewall/rules --type out --action ACCEPT "
                              "--proto tcp --dport {port} --pos 0 --enable 1"},
    [REACH_HOST_FIREWALL] = {"host-firewall",
                             "Proxmox's firewall is on, and no rule was found that lets guests in "
                             "at port {port}; add the rules that the command prints",
                             "felhomctl firewall"},
};

const char *reach_verdict_name(enum reach_verdict verdict)
{
    static const char *const names[] = {"no", "unknown", "yes"};
    return names[verdict];
}

const char *reach_reason_name(enum reach_reason reason)
{
    return rows[reason].name;
}

/* --- addresses --- */

static size_t address_size(sa_family_t family)
{
    return family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
}

static uint8_t full_prefix(sa_family_t family)
{
    return (uint8_t)(8 * address_size(family));
}

/* Returns true if each address of the inner network lies in the outer one. */
static bool network_holds(const struct cidr *outer, const struct cidr *inner)
{
    struct cidr widened = *inner;
    if (outer->family != inner->family || outer->prefix > inner->prefix)
        return false;
    widened.prefix = outer->prefix;
    cidr_mask(&widened);
    return memcmp(&widened.address, &outer->address, address_size(outer->family)) == 0;
}

static struct cidr address_of(const struct sockaddr_storage *address)
{
    struct cidr cidr = {.family = address->ss_family, .prefix = full_prefix(address->ss_family)};
    if (address->ss_family == AF_INET)
        cidr.address.v4 = ((const struct sockaddr_in *)address)->sin_addr;
    else
        cidr.address.v6 = ((const struct sockaddr_in6 *)address)->sin6_addr;
    return cidr;
}

static bool is_same_address(const struct cidr *one, const struct cidr *other)
{
    return network_holds(one, other) && network_holds(other, one);
}

/* The port has the same place for both families. */
uint16_t reach_listener_port(const struct reach_listener *listener)
{
    return ntohs(((const struct sockaddr_in *)&listener->address)->sin_port);
}

static bool is_local(const struct reach_listener *listener)
{
    const struct cidr address = address_of(&listener->address);
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
    const struct cidr own = address_of(&judging->listener->address);
    enum reach_verdict best = REACH_NO;
    size_t count = host->allow_count > 0 ? host->allow_count : host->address_count;
    for (size_t i = 0; i < count && best != REACH_YES; i++) {
        const struct cidr *allowed =
            host->allow_count > 0 ? &host->allow[i] : &host->addresses[i].network;
        if (host->allow_count == 0 && !is_same_address(&host->addresses[i].address, &own))
            continue;
        if (network_holds(allowed, network))
            best = REACH_YES;
        else if (network_holds(network, allowed))
            best = REACH_UNKNOWN;
    }
    return best;
}

/* Of a host whose address has no network, only static addresses say where its guests are. */
static enum reach_reason peer_fault(const struct judging *judging)
{
    bool alone = judging->host->allow_count == 0;
    size_t at = 0;
    enum reach_verdict best = REACH_NO;
    const struct reach_address *address;
    if (judging->has_static) {
        judging->reach->peer = judging->address;
        best = network_allowed(judging, &judging->address);
    }
    while (!judging->has_static && best != REACH_YES && (address = next_address(judging, &at))) {
        bool is_single = address->network.prefix == full_prefix(address->network.family);
        enum reach_verdict verdict = network_allowed(judging, &address->network);
        if (is_single && verdict == REACH_YES)
            verdict = alone ? REACH_NO : REACH_UNKNOWN;
        if (best == REACH_NO)
            judging->reach->peer = is_single ? (struct cidr){.family = 0} : address->network;
        best = verdict > best ? verdict : best;
    }
    if (best == REACH_YES)
        return NO_FAULT;
    if (best == REACH_UNKNOWN)
        return REACH_ALLOWED_IN_PART;
    if (!alone)
        return REACH_NOT_ALLOWED;
    const struct cidr own = address_of(&judging->listener->address);
    for (size_t i = 0; i < judging->host->address_count; i++) {
        const struct reach_address *one = &judging->host->addresses[i];
        if (is_same_address(&one->address, &own) && one->network.prefix == full_prefix(own.family))
            return judging->nic->link == one->link ? REACH_HOST_ALONE : REACH_NOT_ALLOWED;
    }
    return REACH_NOT_ALLOWED;
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
    const struct cidr own = address_of(&judging->listener->address);
    const struct nic *nic = judging->nic->nic;
    if (!judging->has_static)
        return NO_FAULT;
    if (judging->nic->route != judging->nic->link)
        return REACH_NO_ROUTE;
    if (network_holds(&judging->network, &own) || nic->raw)
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

/* --- the words --- */

struct text {
    const struct reach_host *host;
    const struct reach_guest *guest;
    const struct reach *reach;
    struct buffer *out;
};

static void put_address(struct buffer *out, const struct cidr *cidr)
{
    char text[CIDR_TEXT_SIZE];
    cidr_format(cidr, text);
    if (cidr->prefix == full_prefix(cidr->family))
        text[strcspn(text, "/")] = '\0';
    buffer_add_text(out, text);
}

static void put_endpoint(struct buffer *out, const struct reach_listener *listener)
{
    bool is_v6 = listener->address.ss_family == AF_INET6;
    const struct cidr address = address_of(&listener->address);
    buffer_add_text(out, is_v6 ? "[" : "");
    put_address(out, &address);
    buffer_add_format(out, "%s:%u", is_v6 ? "]" : "", reach_listener_port(listener));
}

/* Returns the network of the host's own on the NIC's link in which the peer lies, else the peer. */
static struct cidr network_of_peer(const struct reach_host *host, const struct cidr *peer)
{
    for (size_t i = 0; i < host->address_count; i++) {
        const struct cidr *network = &host->addresses[i].network;
        if (network->prefix > 0 && network_holds(network, peer))
            return *network;
    }
    return *peer;
}

/* What is let in now, and the peer's network. */
static void put_allow(const struct text *text)
{
    const struct reach_host *host = text->host;
    const struct cidr own = address_of(&text->reach->listener->address);
    const char *comma = "";
    buffer_add_text(text->out, "[");
    for (size_t i = 0; i < host->allow_count; i++, comma = ", ") {
        buffer_add_text(text->out, comma);
        put_address(text->out, &host->allow[i]);
    }
    for (size_t i = 0; host->allow_count == 0 && i < host->address_count; i++) {
        if (!is_same_address(&host->addresses[i].address, &own))
            continue;
        buffer_add_text(text->out, comma);
        put_address(text->out, &host->addresses[i].network);
        comma = ", ";
    }
    buffer_add_text(text->out, comma);
    if (text->reach->peer.family) {
        const struct cidr network = network_of_peer(host, &text->reach->peer);
        put_address(text->out, &network);
    } else {
        buffer_add_text(text->out, "NETWORK-OF-ITS-GUESTS");
    }
    buffer_add_text(text->out, "]");
}

/* The host's address on the NIC's link, which need not be the one that felhomd listens on. */
static void put_gateway(const struct text *text)
{
    const struct reach_host *host = text->host;
    const struct reach *reach = text->reach;
    for (size_t i = 0; i < host->address_count; i++) {
        if (!network_holds(&host->addresses[i].network, &reach->peer))
            continue;
        put_address(text->out, &host->addresses[i].address);
        return;
    }
    const struct cidr own = address_of(&reach->listener->address);
    put_address(text->out, &own);
}

static unsigned int first_free_nic(const struct guest_config *config)
{
    unsigned int number = 0;
    for (size_t i = 0; i < config->nic_count; i++) {
        cleanup_free char *netn = mem_format("net%u", number);
        cleanup_free char *raw = mem_format("lxc.net.%u", number);
        if (strcmp(config->nics[i].key, netn) != 0 && strcmp(config->nics[i].key, raw) != 0)
            continue;
        number++;
        i = SIZE_MAX;
    }
    return number;
}

static void put_new_setting(const struct text *text)
{
    const struct guest_config *config = text->guest->config;
    if (config->kind == GUEST_QEMU)
        buffer_add_format(text->out, "virtio,bridge=%s", text->host->bridge);
    else
        buffer_add_format(text->out, "name=eth%u,bridge=%s,ip=dhcp", first_free_nic(config),
                          text->host->bridge);
}

static void put_setting(const struct text *text, const char *what)
{
    static const struct {
        const char *what;
        const char *property;
        const char *value;
    } changes[] = {{"up", "link_down", NULL},
                   {"home", "bridge", ""},
                   {"ip", "ip", "dhcp"},
                   {"gw", "gw", ""},
                   {"hwaddr", "hwaddr", NULL}};
    size_t i = 0;
    struct buffer gateway = BUFFER_EMPTY;
    const struct text sub = {text->host, text->guest, text->reach, &gateway};
    enum guest_kind kind = text->guest->config->kind;
    while (i + 1 < ARRAY_SIZE(changes) && strcmp(changes[i].what, what) != 0)
        i++;
    const char *property = changes[i].property;
    const char *value = changes[i].value;
    if (kind == GUEST_QEMU && strcmp(property, "hwaddr") == 0)
        property = "macaddr";
    if (strcmp(property, "bridge") == 0)
        value = text->host->bridge;
    if (strcmp(property, "gw") == 0) {
        put_gateway(&sub);
        value = buffer_text(&gateway);
    }
    cleanup_free char *setting = nic_changed(text->reach->nic, kind, property, value);
    buffer_add_text(text->out, setting);
    buffer_free(&gateway);
}

static void put_hwaddr(struct buffer *out, const struct nic *nic)
{
    char hwaddr[HWADDR_TEXT_SIZE];
    hwaddr_format(&nic->hwaddr, hwaddr);
    buffer_add_text(out, hwaddr);
}

/* The directory of a kind of guests has another name in /etc/pve than in the API. */
static void put_path(const struct text *text, bool is_api)
{
    bool is_lxc = text->guest->config->kind == GUEST_LXC;
    uint32_t vmid = text->guest->vmid;
    if (is_api)
        buffer_add_format(text->out, "/nodes/localhost/%s/%u", is_lxc ? "lxc" : "qemu", vmid);
    else
        buffer_add_format(text->out, "%s/%s/%u.conf", text->host->pve,
                          is_lxc ? "lxc" : "qemu-server", vmid);
}

/* Returns a value that is a text already; NULL if the name is of none. */
static const char *plain_value(const struct text *text, const char *name)
{
    const struct reach *reach = text->reach;
    const struct nic *nic = reach->nic;
    const struct {
        const char *name;
        const char *value;
    } values[] = {
        {"nic", nic ? nic->key : ""},
        {"bridge", nic ? nic->bridge : ""},
        {"tag", nic ? nic_property(nic, "tag") : ""},
        {"link", reach->link_name},
        {"home", text->host->bridge},
        {"problem", text->host->problem},
        {"settings", text->host->settings},
    };
    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        if (strcmp(values[i].name, name) == 0)
            return values[i].value;
    return NULL;
}

static void put_number(const struct text *text, const char *name)
{
    if (strcmp(name, "vmid") == 0)
        buffer_add_format(text->out, "%u", text->guest->vmid);
    else if (strcmp(name, "other") == 0)
        buffer_add_format(text->out, "%u", text->reach->shared_with);
    else if (strcmp(name, "port") == 0)
        buffer_add_format(text->out, "%u", reach_listener_port(text->reach->listener));
    else if (strcmp(name, "set") == 0)
        buffer_add_format(text->out, "%s set %u",
                          text->guest->config->kind == GUEST_LXC ? "pct" : "qm", text->guest->vmid);
    else if (strcmp(name, "new-key") == 0)
        buffer_add_format(text->out, "net%u", first_free_nic(text->guest->config));
}

static void put_value(const struct text *text, const char *name)
{
    const char *plain = plain_value(text, name);
    const char *setting = text_after(name, "setting-");
    if (plain)
        buffer_add_text(text->out, plain);
    else if (setting)
        put_setting(text, setting);
    else if (strcmp(name, "endpoint") == 0)
        put_endpoint(text->out, text->reach->listener);
    else if (strcmp(name, "peer") == 0)
        put_address(text->out, &text->reach->peer);
    else if (strcmp(name, "allow") == 0)
        put_allow(text);
    else if (strcmp(name, "hwaddr") == 0)
        put_hwaddr(text->out, text->reach->nic);
    else if (strcmp(name, "new-setting") == 0)
        put_new_setting(text);
    else if (strcmp(name, "api") == 0 || strcmp(name, "config") == 0)
        put_path(text, *name == 'a');
    else
        put_number(text, name);
}

/* Copies the template with its values filled in. */
static char *text_fill(const struct reach_host *host, const struct reach_guest *guest,
                       const struct reach *reach, const char *template)
{
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    const struct text text = {host, guest, reach, &out};
    while (*template) {
        size_t plain = strcspn(template, "{");
        buffer_add(&out, template, plain);
        template += plain;
        if (!*template)
            break;
        size_t length = strcspn(template, "}");
        cleanup_free char *name = mem_copy_text_n(template + 1, length - 1);
        put_value(&text, name);
        template += length + 1;
    }
    return mem_copy_text(buffer_text(&out));
}

char *reach_words(const struct reach_host *host, const struct reach_guest *guest,
                  const struct reach *reach)
{
    return text_fill(host, guest, reach, rows[reach->reason].words);
}

char *reach_remedy(const struct reach_host *host, const struct reach_guest *guest,
                   const struct reach *reach)
{
    const char *remedy = rows[reach->reason].remedy;
    if (!remedy)
        return NULL;
    if (reach->nic && reach->nic->raw && strstr(remedy, "{setting-"))
        remedy = "editor {config}";
    return text_fill(host, guest, reach, remedy);
}

char *reach_sentence(const struct reach_host *host, const struct reach_guest *guest,
                     const struct reach *reach)
{
    cleanup_free char *words = reach_words(host, guest, reach);
    cleanup_free char *remedy = reach_remedy(host, guest, reach);
    if (!remedy)
        return steal(words);
    return mem_format("%s; to %s it: %s", words,
                      reach->verdict == REACH_UNKNOWN && reach->reason != REACH_SAME_HWADDR ? "try"
                                                                                            : "fix",
                      remedy);
}
