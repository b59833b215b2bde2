/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a guest can reach felhomd: each reason, on a host with the bridges of the table below. */
#include "schema/agent/reach.h"

#include <arpa/inet.h>
#include <limits.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "tests/unit/test.h"

/* The host's devices, by number. */
enum { NONE, VMBR0, VMBR1, VMBR2, VMBR0_20, VMBR0V30, DOWN, VMBR6 };
static const char *const names[] = {"",         "vmbr0",    "vmbr1", "vmbr2",
                                    "vmbr0.20", "vmbr0v30", "vmbr3", "vmbr6"};

#define MAC   "hwaddr=BC:24:11:00:20:08"
#define NIC   "net0: name=eth0,bridge=vmbr0," MAC
#define OTHER "net0: name=eth0,bridge=vmbr1," MAC

enum host_kind {
    PLAIN,    /* 192.168.0.162/24 on vmbr0, 10.10.10.1/24 on vmbr1, 10.20.0.1/24 on vmbr0.20 */
    SINGLE,   /* 203.0.113.10/32 on vmbr0 */
    NOTHING,  /* no address to listen on */
    LOOPBACK, /* listens on 127.0.0.1 */
    ANY,      /* listens on 0.0.0.0 */
    BOUND,    /* PLAIN, and each listener takes what comes in by its own link */
    IPV6,     /* 2001:db8::1/64 on vmbr6 as well */
};

/* What a row changes of a host or a NIC that has no fault. */
struct knowledge {
    unsigned int bridge;
    unsigned int link;  /* 0: the bridge */
    unsigned int route; /* 0: the link; -1: none */
    bool is_down;
    bool lacks_link;
    bool lacks_port;
    uint32_t shared_with;
    bool shared_is_up;
    bool guest_firewall;
    bool host_firewall;
    bool door;
    enum source_binding binding;
};
#define NO_ROUTE UINT_MAX

static const struct row {
    const char *what;
    const char *config; /* of the guest */
    enum host_kind host;
    const char *allow; /* separated by commas; NULL: none */
    struct knowledge known;
    enum reach_verdict verdict;
    enum reach_reason reason;
    const char *words;  /* a part */
    const char *remedy; /* a part; NULL: there is none */
    enum guest_kind kind;
} rows[] = {
    /* --- what reaches --- */
    {"DHCP on the bridge", NIC ",ip=dhcp", .known = {VMBR0}, .verdict = REACH_YES,
     .reason = REACH_ON_LINK, .words = "net0 reaches felhomd (192.168.0.162:8443) on vmbr0"},
    {"a static address", NIC ",ip=192.168.0.20/24", .known = {VMBR0}, .verdict = REACH_YES,
     .reason = REACH_ON_LINK, .words = "on vmbr0"},
    {"nothing is said of the address", NIC, .known = {VMBR0}, .verdict = REACH_YES,
     .reason = REACH_ON_LINK, .words = "on vmbr0"},
    {"IPv6 beside IPv4", NIC ",ip=dhcp,ip6=auto", .known = {VMBR0}, .verdict = REACH_YES,
     .reason = REACH_ON_LINK, .words = "on vmbr0"},
    {"a virtual machine", "net0: virtio=BC:24:11:00:20:08,bridge=vmbr0", .known = {VMBR0},
     .verdict = REACH_YES, .reason = REACH_ON_LINK, .words = "on vmbr0", .kind = GUEST_QEMU},
    {"behind the host's NAT, allowed", OTHER ",ip=10.10.10.7/24,gw=10.10.10.1",
     .allow = "192.168.0.0/24,10.10.10.0/24", .known = {VMBR1}, .verdict = REACH_YES,
     .reason = REACH_BY_HOST, .words = "by the host's address on vmbr1"},
    {"the same by DHCP", OTHER ",ip=dhcp", .allow = "10.0.0.0/8", .known = {VMBR1},
     .verdict = REACH_YES, .reason = REACH_BY_HOST, .words = "on vmbr1"},
    {"a VLAN with an address of the host's, allowed", NIC ",tag=20,ip=10.20.0.7/24,gw=10.20.0.1",
     .allow = "10.20.0.0/24", .known = {VMBR0, VMBR0_20}, .verdict = REACH_YES,
     .reason = REACH_BY_HOST, .words = "by the host's address on vmbr0.20"},
    {"routed behind a /32, allowed", NIC ",ip=203.0.113.20/32,gw=203.0.113.10", SINGLE,
     .allow = "203.0.113.0/24", .known = {VMBR0}, .verdict = REACH_YES, .reason = REACH_ON_LINK,
     .words = "(203.0.113.10:8443) on vmbr0"},
    {"a NIC of raw lines, by its hardware address",
     "lxc.net.0.type: veth\nlxc.net.0.link: vmbr0\nlxc.net.0.hwaddr: BC:24:11:00:20:08",
     .known = {VMBR0, .lacks_port = true}, .verdict = REACH_YES, .reason = REACH_ON_LINK,
     .words = "lxc.net.0 reaches"},
    {"the same address as another guest's, which nobody looks at", NIC,
     .known = {VMBR0, .shared_with = 8300, .shared_is_up = true, .binding = BINDING_OFF},
     .verdict = REACH_YES, .reason = REACH_ON_LINK, .words = "on vmbr0"},
    {"require, and a port", NIC, .known = {VMBR0, .binding = BINDING_REQUIRE}, .verdict = REACH_YES,
     .reason = REACH_ON_LINK, .words = "on vmbr0"},
    {"no NIC, but the door", "memory: 512", .known = {.door = true}, .verdict = REACH_YES,
     .reason = REACH_BY_DOOR, .words = "without a network"},
    {"the door, while the network fails", NIC ",link_down=1", NOTHING,
     .known = {VMBR0, .door = true}, .verdict = REACH_YES, .reason = REACH_BY_DOOR,
     .words = "without a network"},
    {"a link whose listener takes nothing else", OTHER ",ip=dhcp", BOUND, .allow = "10.10.10.0/24",
     .known = {VMBR1}, .verdict = REACH_YES, .reason = REACH_ON_LINK,
     .words = "(10.10.10.1:8443) on vmbr1"},
    {"IPv6 alone, and a listener of it", "net0: name=eth0,bridge=vmbr6,ip6=auto," MAC, IPV6,
     .known = {VMBR6}, .verdict = REACH_YES, .reason = REACH_ON_LINK,
     .words = "([2001:db8::1]:8443) on vmbr6"},

    /* --- the NIC itself --- */
    {"no NIC", "memory: 512", .verdict = REACH_NO, .reason = REACH_NO_NIC,
     .words = "the guest has no NIC",
     .remedy = "pct set 8200 --net0 'name=eth0,bridge=vmbr0,ip=dhcp'"},
    {"a virtual machine without a NIC", "memory: 512", .verdict = REACH_NO, .reason = REACH_NO_NIC,
     .words = "no NIC", .remedy = "qm set 8200 --net0 'virtio,bridge=vmbr0'", .kind = GUEST_QEMU},
    {"the door is no virtual machine's", "memory: 512", .known = {.door = true},
     .verdict = REACH_NO, .reason = REACH_NO_NIC, .words = "no NIC", .remedy = "qm set",
     .kind = GUEST_QEMU},
    {"link_down=1", NIC ",ip=dhcp,link_down=1", .known = {VMBR0}, .verdict = REACH_NO,
     .reason = REACH_LINK_DOWN, .words = "net0 has link_down=1",
     .remedy =
         "pct set 8200 --net0 'name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:20:08,ip=dhcp,type=veth'"},
    {"link_down=0", NIC ",link_down=0", .known = {VMBR0}, .verdict = REACH_YES,
     .reason = REACH_ON_LINK, .words = "on vmbr0"},
    {"link_down of a virtual machine", "net0: virtio=BC:24:11:00:20:08,bridge=vmbr0,link_down=1",
     .known = {VMBR0}, .verdict = REACH_NO, .reason = REACH_LINK_DOWN, .words = "link_down",
     .remedy = "qm set 8200 --net0 'virtio,macaddr=BC:24:11:00:20:08,bridge=vmbr0'",
     .kind = GUEST_QEMU},
    {"no bridge", "net0: name=eth0,ip=dhcp," MAC, .verdict = REACH_NO, .reason = REACH_NO_BRIDGE,
     .words = "net0 is on no bridge of this host", .remedy = "bridge=vmbr0"},
    {"a bridge of another host", "net0: name=eth0,bridge=vnet7," MAC, .verdict = REACH_NO,
     .reason = REACH_BRIDGE_MISSING, .words = "no bridge vnet7, where net0 is to be: an SDN vnet",
     .remedy = "pct set 8200 --net0 'name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:20:08,type=veth'"},
    {"a bridge that is down", "net0: name=eth0,bridge=vmbr3," MAC, .known = {DOWN, .is_down = true},
     .verdict = REACH_NO, .reason = REACH_BRIDGE_DOWN,
     .words = "bridge vmbr3, where net0 is, is down", .remedy = "ip link set vmbr3 up"},
    {"macvlan", "lxc.net.0.type: macvlan\nlxc.net.0.link: vmbr0", .known = {VMBR0},
     .verdict = REACH_UNKNOWN, .reason = REACH_OTHER_KIND, .words = "lxc.net.0 is on no bridge",
     .remedy = "felhomctl doctor --probe 8200"},
    {"QEMU's own network", "net0: virtio=BC:24:11:00:20:08", .verdict = REACH_UNKNOWN,
     .reason = REACH_OTHER_KIND, .words = "where it leads cannot be seen",
     .remedy = "felhomctl doctor --probe 8200", .kind = GUEST_QEMU},

    /* --- what felhomd listens on --- */
    {"no address to listen on", NIC, NOTHING, .known = {VMBR0}, .verdict = REACH_NO,
     .reason = REACH_NO_LISTENER,
     .words = "felhomd has no address to listen on: bridge vmbr0 has no IPv4 address",
     .remedy = "editor AGENT.YAML && felhomctl init && systemctl restart felhomd"},
    {"loopback", NIC, LOOPBACK, .known = {VMBR0}, .verdict = REACH_NO,
     .reason = REACH_LOCAL_LISTENER, .words = "felhomd is at 127.0.0.1:8443",
     .remedy = "editor AGENT.YAML"},
    {"0.0.0.0", NIC, ANY, .known = {VMBR0}, .verdict = REACH_NO, .reason = REACH_LOCAL_LISTENER,
     .words = "felhomd is at 0.0.0.0:8443", .remedy = "editor AGENT.YAML"},
    {"IPv6 alone", NIC ",ip6=auto", .known = {VMBR0}, .verdict = REACH_NO,
     .reason = REACH_OTHER_FAMILY, .words = "net0 has IPv6 alone", .remedy = "ip=dhcp"},
    {"no listener takes what comes in there", "net0: name=eth0,bridge=vmbr2," MAC, BOUND,
     .known = {VMBR2}, .verdict = REACH_NO, .reason = REACH_OTHER_LINK,
     .words = "felhomd does not listen on vmbr2", .remedy = "pct set 8200 --net1"},

    /* --- the host's addresses --- */
    {"a bridge without an address", "net0: name=eth0,bridge=vmbr2,ip=dhcp," MAC, .known = {VMBR2},
     .verdict = REACH_NO, .reason = REACH_NO_ADDRESS,
     .words = "net0 is on vmbr2, where this host has no address",
     .remedy = "pct set 8200 --net1 'name=eth1,bridge=vmbr0,ip=dhcp'"},
    {"the same, and a router that may lead here",
     "net0: name=eth0,bridge=vmbr2,ip=172.16.0.7/24,gw=172.16.0.1," MAC, .allow = "172.16.0.0/24",
     .known = {VMBR2}, .verdict = REACH_UNKNOWN, .reason = REACH_OTHER_GATEWAY,
     .words = "only by way of another machine", .remedy = "felhomctl doctor --probe 8200"},
    {"a VLAN without an address", NIC ",tag=30,ip=dhcp", .known = {VMBR0, VMBR0V30},
     .verdict = REACH_NO, .reason = REACH_NO_VLAN_ADDRESS,
     .words = "net0 is in VLAN 30, and this host has no address on vmbr0v30",
     .remedy = "pct set 8200 --net1 'name=eth1,bridge=vmbr0,ip=dhcp'"},
    {"a VLAN of which the host has no device", NIC ",tag=30,ip=dhcp",
     .known = {VMBR0, .lacks_link = true}, .verdict = REACH_NO, .reason = REACH_NO_VLAN_ADDRESS,
     .words = "VLAN 30", .remedy = "pct set 8200 --net1"},

    /* --- who is let in --- */
    {"guests behind a /32", NIC ",ip=203.0.113.20/32,gw=203.0.113.10", SINGLE, .known = {VMBR0},
     .verdict = REACH_NO, .reason = REACH_HOST_ALONE,
     .words = "set local_api.allow: [203.0.113.10, 203.0.113.20]",
     .remedy = "editor AGENT.YAML && systemctl reload felhomd"},
    {"the same by DHCP", NIC ",ip=dhcp", SINGLE, .known = {VMBR0}, .verdict = REACH_NO,
     .reason = REACH_HOST_ALONE, .words = "[203.0.113.10, NETWORK-OF-ITS-GUESTS]",
     .remedy = "editor AGENT.YAML"},
    {"the same by DHCP, with an allow", NIC ",ip=dhcp", SINGLE, .allow = "203.0.113.0/24",
     .known = {VMBR0}, .verdict = REACH_UNKNOWN, .reason = REACH_ALLOWED_IN_PART,
     .words = "lets in some", .remedy = "felhomctl doctor --probe 8200"},
    {"a static address that allow lacks", NIC ",ip=192.168.0.20/24", .allow = "192.168.1.0/24",
     .known = {VMBR0}, .verdict = REACH_NO, .reason = REACH_NOT_ALLOWED,
     .words = "does not let in 192.168.0.20, from where net0 comes; set local_api.allow: "
              "[192.168.1.0/24, 192.168.0.0/24]",
     .remedy = "editor AGENT.YAML && systemctl reload felhomd"},
    {"a network that allow lacks", NIC ",ip=dhcp", .allow = "192.168.1.0/24", .known = {VMBR0},
     .verdict = REACH_NO, .reason = REACH_NOT_ALLOWED, .words = "does not let in 192.168.0.0/24",
     .remedy = "editor AGENT.YAML"},
    {"half of the network", NIC ",ip=dhcp", .allow = "192.168.0.0/25", .known = {VMBR0},
     .verdict = REACH_UNKNOWN, .reason = REACH_ALLOWED_IN_PART,
     .words = "lets in some of 192.168.0.0/24", .remedy = "felhomctl doctor --probe 8200"},
    {"behind the host's NAT", OTHER ",ip=10.10.10.7/24,gw=10.10.10.1", .known = {VMBR1},
     .verdict = REACH_NO, .reason = REACH_NOT_ALLOWED,
     .words = "10.10.10.7, from where net0 comes; set local_api.allow: [192.168.0.0/24, "
              "10.10.10.0/24]",
     .remedy = "editor AGENT.YAML"},
    {"the same by DHCP", OTHER ",ip=dhcp", .known = {VMBR1}, .verdict = REACH_NO,
     .reason = REACH_NOT_ALLOWED, .words = "[192.168.0.0/24, 10.10.10.0/24]",
     .remedy = "editor AGENT.YAML"},
    {"a VLAN with an address of the host's", NIC ",tag=20,ip=dhcp", .known = {VMBR0, VMBR0_20},
     .verdict = REACH_NO, .reason = REACH_NOT_ALLOWED, .words = "[192.168.0.0/24, 10.20.0.0/24]",
     .remedy = "editor AGENT.YAML"},

    /* --- ways there and back --- */
    {"another network, and no gateway", OTHER ",ip=10.10.10.7/24", .allow = "10.10.10.0/24",
     .known = {VMBR1}, .verdict = REACH_NO, .reason = REACH_NO_GATEWAY,
     .words = "net0 has the address 10.10.10.7 and no gateway",
     .remedy = "ip=10.10.10.7/24,type=veth,gw=10.10.10.1'"},
    {"a gateway that is not this host", OTHER ",ip=10.10.10.7/24,gw=10.10.10.254",
     .allow = "10.10.10.0/24", .known = {VMBR1}, .verdict = REACH_UNKNOWN,
     .reason = REACH_OTHER_GATEWAY, .words = "only by way of another machine",
     .remedy = "felhomctl doctor --probe 8200"},
    {"no route to the guest", NIC ",ip=203.0.113.20/32,gw=203.0.113.10", SINGLE,
     .allow = "203.0.113.0/24", .known = {VMBR0, .route = NO_ROUTE}, .verdict = REACH_NO,
     .reason = REACH_NO_ROUTE,
     .words = "net0 has the address 203.0.113.20, to which this host has no route by vmbr0",
     .remedy = "ip route add 203.0.113.20 dev vmbr0"},
    {"an address of another link's network", OTHER ",ip=192.168.0.50/24",
     .known = {VMBR1, .route = VMBR0}, .verdict = REACH_NO, .reason = REACH_NO_ROUTE,
     .words = "no route by vmbr1", .remedy = "ip route add 192.168.0.50 dev vmbr1"},

    /* --- who it is --- */
    {"the same address as another guest's, which runs", NIC,
     .known = {VMBR0, .shared_with = 8300, .shared_is_up = true}, .verdict = REACH_NO,
     .reason = REACH_SAME_HWADDR,
     .words = "net0 has the address BC:24:11:00:20:08 that guest 8300 has as well, so felhomd may "
              "refuse both",
     .remedy = "pct set 8200 --net0 'name=eth0,bridge=vmbr0,type=veth'"},
    {"the same, and that does not run", NIC, .known = {VMBR0, .shared_with = 8300},
     .verdict = REACH_UNKNOWN, .reason = REACH_SAME_HWADDR, .words = "guest 8300",
     .remedy = "pct set"},
    {"the same of raw lines",
     "lxc.net.0.type: veth\nlxc.net.0.link: vmbr0\nlxc.net.0.hwaddr: BC:24:11:00:20:08",
     .known = {VMBR0, .shared_with = 8300}, .verdict = REACH_UNKNOWN, .reason = REACH_SAME_HWADDR,
     .words = "guest 8300", .remedy = "editor PVE/lxc/8200.conf"},
    {"neither a port nor an address of its own", "lxc.net.0.type: veth\nlxc.net.0.link: vmbr0",
     .known = {VMBR0, .lacks_port = true}, .verdict = REACH_NO, .reason = REACH_NO_HWADDR,
     .words = "set lxc.net.0.hwaddr", .remedy = "editor PVE/lxc/8200.conf"},
    {"require, and no port",
     "lxc.net.0.type: veth\nlxc.net.0.link: vmbr0\nlxc.net.0.hwaddr: BC:24:11:00:20:08",
     .known = {VMBR0, .lacks_port = true, .binding = BINDING_REQUIRE}, .verdict = REACH_NO,
     .reason = REACH_NEEDS_PORT, .words = "source_binding: require",
     .remedy = "pct set 8200 --net1 'name=eth1,bridge=vmbr0,ip=dhcp'"},

    /* --- the firewall --- */
    {"the guest's firewall", NIC ",firewall=1", .known = {VMBR0, .guest_firewall = true},
     .verdict = REACH_NO, .reason = REACH_GUEST_FIREWALL, .words = "lets nothing out to port 8443",
     .remedy = "pvesh create /nodes/localhost/lxc/8200/firewall/rules --type out"},
    {"the host's firewall", NIC, .known = {VMBR0, .host_firewall = true}, .verdict = REACH_NO,
     .reason = REACH_HOST_FIREWALL, .words = "no rule was found that lets guests in at port 8443",
     .remedy = "felhomctl firewall"},

    /* --- several NICs --- */
    {"one of two reaches", NIC ",ip=dhcp,link_down=1\nnet1: name=eth1,bridge=vmbr0,ip=dhcp",
     .known = {VMBR0}, .verdict = REACH_YES, .reason = REACH_ON_LINK, .words = "net1 reaches"},
    {"none of two reaches", NIC ",link_down=1\nnet1: name=eth1,bridge=vmbr0,link_down=1",
     .known = {VMBR0}, .verdict = REACH_NO, .reason = REACH_LINK_DOWN, .words = "net0 has",
     .remedy = "--net0"},
    {"a NIC that may reach is better than one that cannot",
     NIC ",link_down=1\nlxc.net.1.type: macvlan\nlxc.net.1.link: vmbr0", .known = {VMBR0},
     .verdict = REACH_UNKNOWN, .reason = REACH_OTHER_KIND, .words = "lxc.net.1",
     .remedy = "felhomctl doctor --probe 8200"},
};

static struct reach_address address_on(unsigned int link, const char *text)
{
    struct reach_address address = {.link = link};
    cleanup_free char *alone = mem_copy_text_n(text, strcspn(text, "/"));
    assert_true(cidr_parse_host(text, &address.network));
    assert_true(cidr_parse_host(alone, &address.address));
    return address;
}

static struct reach_listener listener_on(unsigned int link, const char *text)
{
    struct reach_listener listener = {.link = link};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(8443)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(8443)};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        memcpy(&listener.address, &v4, sizeof v4);
    else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
        memcpy(&listener.address, &v6, sizeof v6);
    return listener;
}

/* A host, with all that it points to. */
struct fixture {
    struct reach_host host;
    struct reach_address addresses[8];
    struct reach_listener listeners[4];
    struct cidr allow[4];
};

static void add_listener(struct fixture *fixture, unsigned int link, const char *text)
{
    fixture->listeners[fixture->host.listener_count++] = listener_on(link, text);
}

static void add_address(struct fixture *fixture, unsigned int link, const char *text)
{
    fixture->addresses[fixture->host.address_count++] = address_on(link, text);
}

static void add_addresses(struct fixture *fixture, enum host_kind kind)
{
    add_address(fixture, 99, "127.0.0.1/8");
    if (kind == SINGLE) {
        add_address(fixture, VMBR0, "203.0.113.10/32");
        return;
    }
    add_address(fixture, VMBR0, "192.168.0.162/24");
    add_address(fixture, VMBR1, "10.10.10.1/24");
    add_address(fixture, VMBR0_20, "10.20.0.1/24");
    add_address(fixture, VMBR6, "2001:db8::1/64");
}

static void add_listeners(struct fixture *fixture, enum host_kind kind)
{
    if (kind == LOOPBACK || kind == ANY)
        add_listener(fixture, 0, kind == ANY ? "0.0.0.0" : "127.0.0.1");
    else if (kind == SINGLE)
        add_listener(fixture, VMBR0, "203.0.113.10");
    else if (kind != NOTHING)
        add_listener(fixture, VMBR0, "192.168.0.162");
    if (kind == BOUND)
        add_listener(fixture, VMBR1, "10.10.10.1");
    if (kind == IPV6)
        add_listener(fixture, VMBR6, "2001:db8::1");
    for (size_t i = 0; kind == BOUND && i < fixture->host.listener_count; i++)
        fixture->listeners[i].bound = true;
}

static void fixture_make(const struct row *row, struct fixture *ret)
{
    *ret = (struct fixture){
        .host = {.listeners = ret->listeners,
                 .addresses = ret->addresses,
                 .allow = ret->allow,
                 .door = row->known.door,
                 .binding = row->known.binding,
                 .firewall_drops = row->known.host_firewall,
                 .problem = row->host == NOTHING ? "bridge vmbr0 has no IPv4 address" : "",
                 .bridge = "vmbr0",
                 .settings = "AGENT.YAML",
                 .pve = "PVE"},
    };
    add_addresses(ret, row->host);
    add_listeners(ret, row->host);
    cleanup_free char *allow = mem_copy_text(row->allow ? row->allow : "");
    char *rest = NULL;
    for (char *one = strtok_r(allow, ",", &rest); one; one = strtok_r(NULL, ",", &rest))
        assert_true(cidr_parse(one, &ret->allow[ret->host.allow_count++]));
}

static struct reach_nic nic_known(const struct row *row, const struct nic *nic)
{
    const struct knowledge *known = &row->known;
    struct reach_nic ret = {
        .nic = nic,
        .bridge = known->bridge,
        .bridge_is_up = !known->is_down,
        .link = known->lacks_link ? 0
                : known->link     ? known->link
                                  : known->bridge,
        .has_port = !known->lacks_port,
        .shared_with = known->shared_with,
        .shared_is_up = known->shared_is_up,
        .firewall_drops = known->guest_firewall,
    };
    ret.route = known->route == NO_ROUTE ? 0 : known->route ? known->route : ret.link;
    strcpy(ret.link_name, names[ret.link]);
    return ret;
}

static void assert_part(const char *text, const char *part)
{
    if (!text || !strstr(text, part))
        print_error("got: %s\nwanted: %s\n", text ? text : "nothing", part);
    assert_true(text && strstr(text, part));
}

static void check_row(const struct row *row)
{
    struct error error;
    struct fixture fixture;
    struct reach nics[4];
    cleanup(guest_config_free) struct guest_config config = {0};
    cleanup_free char *text = mem_format("%s\n", row->config);
    fixture_make(row, &fixture);
    assert_int_equal(guest_config_parse(row->kind, text, strlen(text), &config, &error), 0);
    assert_int_equal(config.warning_count, 0);
    const struct reach_guest guest = {8200, &config};
    for (size_t i = 0; i < config.nic_count; i++) {
        const struct reach_nic nic = nic_known(row, &config.nics[i]);
        nics[i] = reach_judge(&fixture.host, &guest, &nic);
    }
    const struct reach reach = reach_of_guest(&fixture.host, &guest, nics, config.nic_count);
    cleanup_free char *words = reach_words(&fixture.host, &guest, &reach);
    cleanup_free char *remedy = reach_remedy(&fixture.host, &guest, &reach);
    assert_string_equal(reach_reason_name(reach.reason), reach_reason_name(row->reason));
    assert_string_equal(reach_verdict_name(reach.verdict), reach_verdict_name(row->verdict));
    assert_part(words, row->words);
    assert_null(strpbrk(words, "{}"));
    if (row->remedy)
        assert_part(remedy, row->remedy);
    else
        assert_null(remedy);
    assert_true(!remedy || !strpbrk(remedy, "{}"));
}

static void each_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        print_message("%s\n", rows[i].what);
        check_row(&rows[i]);
    }
}

static void each_reason_has_a_row(void **state)
{
    (void)state;
    for (int reason = 0; reason < REACH_REASONS; reason++) {
        size_t count = 0;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
            count += (int)rows[i].reason == reason;
        if (count == 0)
            print_error("no row: %s\n", reach_reason_name((enum reach_reason)reason));
        assert_true(count > 0);
    }
}

static void a_sentence_has_the_remedy(void **state)
{
    (void)state;
    static const struct guest_config none = {.kind = GUEST_LXC};
    const struct reach_guest guest = {8200, &none};
    const struct reach_host host = {.bridge = "vmbr9"};
    const struct reach no_nic = {.reason = REACH_NO_NIC};
    const struct reach other = {.verdict = REACH_UNKNOWN, .reason = REACH_OTHER_KIND};
    const struct reach door = {.verdict = REACH_YES, .reason = REACH_BY_DOOR};
    cleanup_free char *first = reach_sentence(&host, &guest, &no_nic);
    cleanup_free char *second = reach_sentence(&host, &guest, &other);
    cleanup_free char *third = reach_sentence(&host, &guest, &door);
    assert_string_equal(first, "the guest has no NIC, so that it cannot reach felhomd; to fix it: "
                               "pct set 8200 --net0 'name=eth0,bridge=vmbr9,ip=dhcp'");
    assert_part(second, "; to try it: felhomctl doctor --probe 8200");
    assert_string_equal(third, "the guest reaches felhomd without a network");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row),
        cmocka_unit_test(each_reason_has_a_row),
        cmocka_unit_test(a_sentence_has_the_remedy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
