/* SPDX-License-Identifier: Apache-2.0 */
#include "store/host/reach_facts.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "store/files/config_file.h"
#include "store/files/file.h"
#include "store/host/host.h"
#include "store/host/netlink.h"

#define VLAN_LIST       "/proc/net/vlan/config"
#define VLAN_LIST_LIMIT ((size_t)1 << 20)
#define NICS_MAX        32 /* of a guest, in Proxmox */

/* --- devices --- */

/* Returns the device's number; 0 if there is none. */
static unsigned int device_find(const struct reach_facts *facts, const char *name, bool *ret_is_up)
{
    struct ifreq request = {.ifr_flags = 0};
    size_t length = strlen(name);
    *ret_is_up = false;
    if (length == 0 || length >= sizeof request.ifr_name)
        return 0;
    memcpy(request.ifr_name, name, length);
    if (ioctl(facts->socket, SIOCGIFFLAGS, &request) < 0)
        return 0;
    *ret_is_up = request.ifr_flags & IFF_UP;
    return ioctl(facts->socket, SIOCGIFINDEX, &request) < 0 ? 0 : (unsigned int)request.ifr_ifindex;
}

static bool device_is_there(const char *name)
{
    return if_nametoindex(name) > 0;
}

/* --- the host --- */

/* Addresses of a link alone (fe80::1) are no guest's way to felhomd. */
static void add_address(struct reach_facts *facts, const struct netlink_address *found)
{
    struct reach_address address = {found->link, found->address, found->address};
    if (found->is_of_link)
        return;
    address.address.prefix = address.address.family == AF_INET ? 32 : 128;
    cidr_mask(&address.network);
    facts->addresses =
        mem_grow(facts->addresses, facts->host.address_count, sizeof *facts->addresses);
    facts->addresses[facts->host.address_count++] = address;
    facts->host.addresses = facts->addresses;
}

/* Asks for the addresses of the device, or of all (0), unless they are known. */
static int load_addresses(struct reach_facts *facts, unsigned int link, struct error *error)
{
    cleanup_free struct netlink_address *list = NULL;
    size_t count = 0;
    for (size_t i = 0; i < facts->asked_count; i++)
        if (facts->asked[i] == link || facts->asked[i] == 0)
            return 0;
    if (host_addresses(facts->netlink, link, &list, &count, error) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        add_address(facts, &list[i]);
    facts->asked = mem_grow(facts->asked, facts->asked_count, sizeof *facts->asked);
    facts->asked[facts->asked_count++] = link;
    return 0;
}

/* Returns the device that has the address; 0 if none has. */
static unsigned int find_link(const struct reach_facts *facts, struct in_addr address)
{
    for (size_t i = 0; i < facts->host.address_count; i++) {
        const struct reach_address *one = &facts->addresses[i];
        if (one->address.family == AF_INET && one->address.address.v4.s_addr == address.s_addr)
            return one->link;
    }
    return 0;
}

static void listener_set_name(struct reach_facts *facts, const struct config *config)
{
    struct reach_listener *listener = facts->listeners;
    if (!config->local_api.has_listen)
        (void)snprintf(listener->link_name, IF_NAMESIZE, "%s", config->local_api.bridge);
    else if (listener->link != 0 && !if_indextoname(listener->link, listener->link_name))
        listener->link_name[0] = '\0';
}

/* felhomd listens on one IPv4 address, and takes what comes in by any device. */
static int load_listeners(const struct config *config, struct reach_facts *facts,
                          struct error *error)
{
    struct error problem = {.message = ""};
    struct sockaddr_in endpoint;
    char text[INET_ADDRSTRLEN];
    bool ignored;
    facts->listeners = mem_new(struct reach_listener);
    facts->host.listeners = facts->listeners;
    if (host_endpoint(config, &endpoint, &problem) < 0) {
        facts->problem = mem_copy_text(problem.message);
        return 0;
    }
    /* Any device may have an address that agent.yaml names. */
    unsigned int link =
        config->local_api.has_listen ? 0 : device_find(facts, config->local_api.bridge, &ignored);
    if (load_addresses(facts, link, error) < 0)
        return -1;
    facts->listeners->link = find_link(facts, endpoint.sin_addr);
    if (facts->listeners->link == 0 && endpoint.sin_addr.s_addr != htonl(INADDR_ANY)) {
        (void)inet_ntop(AF_INET, &endpoint.sin_addr, text, sizeof text);
        facts->problem = mem_format("local_api.listen: this host has no address %s", text);
        return 0;
    }
    memcpy(&facts->listeners->address, &endpoint, sizeof endpoint);
    listener_set_name(facts, config);
    facts->host.listener_count = 1;
    return 0;
}

int reach_facts_load(const struct config *config, struct reach_facts *ret, struct error *error)
{
    *ret = (struct reach_facts){
        .socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
        .netlink = -1,
        .host = {.allow = config->local_api.allow,
                 .allow_count = config->local_api.allow_count,
                 .binding = config->local_api.source_binding,
                 .settings = config_file_path(),
                 .pve = config->paths.pve},
    };
    if (host_netlink_open(&ret->netlink, error) < 0 || load_listeners(config, ret, error) < 0) {
        reach_facts_free(ret);
        return -1;
    }
    bool is_elsewhere = config->local_api.has_listen && ret->listeners->link_name[0];
    ret->bridge =
        mem_copy_text(is_elsewhere ? ret->listeners->link_name : config->local_api.bridge);
    ret->host.bridge = ret->bridge;
    ret->host.problem = ret->problem ? ret->problem : "";
    return 0;
}

void reach_facts_free(struct reach_facts *facts)
{
    cleanup_close_fn(&facts->socket);
    cleanup_close_fn(&facts->netlink);
    free(facts->listeners);
    free(facts->addresses);
    free(facts->asked);
    free(facts->problem);
    free(facts->bridge);
    *facts = (struct reach_facts){.socket = -1, .netlink = -1};
}

/* --- VLANs: Proxmox gives a NIC with a tag its VLAN on a bridge that knows VLANs, and on any other
 * a bridge of that VLAN (PVE::Network) --- */

static bool bridge_knows_vlans(const char *bridge)
{
    char known = '0';
    cleanup_free char *path = mem_format("/sys/class/net/%s/bridge/vlan_filtering", bridge);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, &known, 1) == 1 && known == '1';
}

/* Returns true for "NAME | TAG | BRIDGE", with the name in ret. */
static bool vlan_line_is(struct slice line, const char *tag, const char *bridge,
                         char ret[static IF_NAMESIZE])
{
    struct slice name = slice_trim(slice_take(&line, '|'), " ");
    struct slice id = slice_trim(slice_take(&line, '|'), " ");
    struct slice lower = slice_trim(line, " ");
    cleanup_free char *text = slice_copy(name);
    if (!slice_equals(id, tag) || !slice_equals(lower, bridge) || strlen(text) >= IF_NAMESIZE)
        return false;
    (void)snprintf(ret, IF_NAMESIZE, "%s", text);
    return true;
}

/* The host's device of a VLAN has any name, most often BRIDGE.TAG. */
static void find_vlan_device(const char *bridge, const char *tag, char ret[static IF_NAMESIZE])
{
    struct error ignored;
    char found[IF_NAMESIZE] = "";
    cleanup_buffer struct buffer list = BUFFER_EMPTY;
    (void)snprintf(ret, IF_NAMESIZE, "%s.%s", bridge, tag);
    if (device_is_there(ret) || file_read(VLAN_LIST, VLAN_LIST_LIMIT, &list, &ignored) < 0)
        return;
    struct slice rest = slice_of(buffer_text(&list));
    while (rest.length > 0 && !found[0]) {
        struct slice line = slice_take(&rest, '\n');
        (void)vlan_line_is(line, tag, bridge, found);
    }
    if (found[0])
        memcpy(ret, found, IF_NAMESIZE);
}

static void find_link_name(const struct nic *nic, char ret[static IF_NAMESIZE])
{
    const char *tag = nic_property(nic, "tag");
    if (!tag)
        (void)snprintf(ret, IF_NAMESIZE, "%s", nic->bridge);
    else if (bridge_knows_vlans(nic->bridge))
        find_vlan_device(nic->bridge, tag, ret);
    else
        (void)snprintf(ret, IF_NAMESIZE, "%sv%s", nic->bridge, tag);
}

/* --- a NIC --- */

static bool guest_has_port(uint32_t vmid, const char *number)
{
    static const char *const kinds[] = {"veth", "tap"};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        cleanup_free char *name = mem_format("%s%ui%s", kinds[i], vmid, number);
        if (device_is_there(name))
            return true;
    }
    return false;
}

bool reach_facts_guest_is_up(uint32_t vmid)
{
    for (unsigned int i = 0; i < NICS_MAX; i++) {
        cleanup_free char *number = mem_format("%u", i);
        if (guest_has_port(vmid, number))
            return true;
    }
    return false;
}

/* Proxmox gives each port of its NICs a name by which felhomd knows the guest; LXC by itself only
 * if lxc.net.N.veth.pair says so. */
static bool nic_has_port(uint32_t vmid, const struct nic *nic)
{
    const char *pair = nic_property(nic, "veth.pair");
    cleanup_free char *name = mem_format("veth%ui", vmid);
    const char *number = pair ? text_after(pair, name) : NULL;
    if (!nic->raw || (number && *number && text_is_all(number, DIGITS)))
        return true;
    return guest_has_port(vmid, nic->key + strcspn(nic->key, DIGITS));
}

/* A bridge is part of nothing but a VRF, whose routes are not the host's. */
static bool is_in_vrf(const char *bridge)
{
    cleanup_free char *path = mem_format("/sys/class/net/%s/master", bridge);
    return access(path, F_OK) == 0;
}

static bool is_in_own_network(const struct reach_facts *facts, unsigned int link,
                              const struct cidr *address)
{
    for (size_t i = 0; i < facts->host.address_count; i++)
        if (facts->addresses[i].link == link && cidr_holds(&facts->addresses[i].network, address))
            return true;
    return false;
}

/* Returns the device on whose link the host finds the NIC's static address; 0 if it has none. The
 * kernel has a route to each network of its own. */
static unsigned int find_route(const struct reach_facts *facts, const struct reach_nic *known)
{
    struct error ignored;
    struct cidr address;
    int link = 0;
    const char *ip = known->nic->ip;
    cleanup_free char *text = mem_copy_text_n(ip, strcspn(ip, "/"));
    if (!cidr_parse_host(text, &address) || address.family != AF_INET)
        return 0;
    if (is_in_own_network(facts, known->link, &address))
        return known->link;
    if (host_route_link(facts->netlink, address.address.v4, 0, &link, &ignored) < 0)
        return is_in_vrf(known->link_name) ? known->link : 0;
    return (unsigned int)link;
}

static struct reach_nic reach_facts_nic(struct reach_facts *facts, const struct reach_guest *guest,
                                        const struct nic *nic)
{
    struct reach_nic known = {.nic = nic, .has_port = nic_has_port(guest->vmid, nic)};
    struct error unknown;
    bool ignored;
    known.bridge = device_find(facts, nic->bridge, &known.bridge_is_up);
    find_link_name(nic, known.link_name);
    known.link = strcmp(known.link_name, nic->bridge) == 0
                     ? known.bridge
                     : device_find(facts, known.link_name, &ignored);
    if (known.link != 0)
        (void)load_addresses(facts, known.link, &unknown);
    known.route = find_route(facts, &known);
    return known;
}

struct guest_reach reach_facts_judge(struct reach_facts *facts, const struct reach_guest *guest,
                                     void (*complete)(void *context, struct reach_nic *nic),
                                     void *context)
{
    const struct guest_config *config = guest->config;
    struct guest_reach reach = {.guest = *guest, .count = config->nic_count};
    reach.nics = mem_new_array(reach.count, sizeof *reach.nics);
    for (size_t i = 0; i < reach.count; i++) {
        struct reach_nic nic = reach_facts_nic(facts, guest, &config->nics[i]);
        if (complete)
            complete(context, &nic);
        reach.nics[i] = reach_judge(&facts->host, guest, &nic);
    }
    reach.whole = reach_of_guest(&facts->host, guest, reach.nics, reach.count);
    return reach;
}

void guest_reach_free(struct guest_reach *reach)
{
    free(reach->nics);
}
