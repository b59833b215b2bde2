/* SPDX-License-Identifier: Apache-2.0 */
/* The words for the verdicts of schema/agent/reach.h, and the remedies: one table. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/agent/reach.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"

/* --- the table --- */

#define PROBE   "felhomctl doctor --probe {vmid}"
#define EDIT    "editor {settings} && systemctl reload felhomd"
#define RESTART "editor {settings} && felhomctl init && systemctl restart felhomd"
#define ANOTHER "{set} --{new-key} '{new-setting}'"
#define ON_HOME "or give the guest a NIC on {home} as well"

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

/* --- the words --- */

static struct cidr address_of(const struct reach_listener *listener)
{
    struct cidr address = {.family = AF_UNSPEC};
    (void)cidr_of_address((const struct sockaddr *)&listener->address, &address);
    return address;
}

/* The port has the same place for both families. */
uint16_t reach_listener_port(const struct reach_listener *listener)
{
    return ntohs(((const struct sockaddr_in *)&listener->address)->sin_port);
}

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
    if (cidr_is_single(cidr))
        text[strcspn(text, "/")] = '\0';
    buffer_add_text(out, text);
}

static void put_endpoint(struct buffer *out, const struct reach_listener *listener)
{
    bool is_v6 = listener->address.ss_family == AF_INET6;
    const struct cidr address = address_of(listener);
    buffer_add_text(out, is_v6 ? "[" : "");
    put_address(out, &address);
    buffer_add_format(out, "%s:%u", is_v6 ? "]" : "", reach_listener_port(listener));
}

/* Returns the network of the host's own on the NIC's link in which the peer lies, else the peer. */
static struct cidr network_of_peer(const struct reach_host *host, const struct cidr *peer)
{
    for (size_t i = 0; i < host->address_count; i++) {
        const struct cidr *network = &host->addresses[i].network;
        if (network->prefix > 0 && cidr_holds(network, peer))
            return *network;
    }
    return *peer;
}

/* What is let in now, and the peer's network. */
static void put_allow(const struct text *text)
{
    const struct reach_host *host = text->host;
    const struct cidr own = address_of(text->reach->listener);
    const char *comma = "";
    buffer_add_text(text->out, "[");
    for (size_t i = 0; i < host->allow_count; i++, comma = ", ") {
        buffer_add_text(text->out, comma);
        put_address(text->out, &host->allow[i]);
    }
    for (size_t i = 0; host->allow_count == 0 && i < host->address_count; i++) {
        if (!cidr_holds(&host->addresses[i].address, &own))
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
        if (!cidr_holds(&host->addresses[i].network, &reach->peer))
            continue;
        put_address(text->out, &host->addresses[i].address);
        return;
    }
    const struct cidr own = address_of(reach->listener);
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
