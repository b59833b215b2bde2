/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a guest can reach felhomd by a NIC, as far as the host knows, and why not. The verdict,
 * its reason, the words for it and the remedy are in one table, so that enroll, pre-start, guest
 * and doctor say the same. store/host/reach_facts.h collects what the host knows; nothing here
 * asks the kernel.
 */
#ifndef FELHOM_REACH_H
#define FELHOM_REACH_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "schema/agent/config.h"
#include "schema/base/address.h"
#include "schema/pve/guest_config.h"

enum reach_verdict { REACH_NO, REACH_UNKNOWN, REACH_YES }; /* from the worst to the best */

/* Why. The verdict is REACH_NO unless it is said here. */
enum reach_reason {
    REACH_ON_LINK,         /* (yes) the NIC is on the link that felhomd listens on */
    REACH_BY_HOST,         /* (yes) the host has an address on the NIC's link, which leads there */
    REACH_BY_DOOR,         /* (yes) the guest needs no network */
    REACH_NO_NIC,          /* the guest has none */
    REACH_LINK_DOWN,       /* link_down=1 */
    REACH_NO_BRIDGE,       /* the NIC is on no bridge */
    REACH_BRIDGE_MISSING,  /* this host does not have the NIC's bridge */
    REACH_BRIDGE_DOWN,     /* the bridge is not up */
    REACH_OTHER_KIND,      /* (unknown) a NIC that this host does not connect by a bridge */
    REACH_NO_LISTENER,     /* felhomd has no address to listen on */
    REACH_LOCAL_LISTENER,  /* the only address is good on this host alone: loopback, 0.0.0.0 */
    REACH_OTHER_LINK,      /* felhomd listens on other links alone */
    REACH_OTHER_FAMILY,    /* the NIC has IPv6 alone, felhomd listens on IPv4 */
    REACH_NO_ADDRESS,      /* the host has no address on the NIC's link */
    REACH_NO_VLAN_ADDRESS, /* the host has no address in the NIC's VLAN */
    REACH_HOST_ALONE,      /* the bridge's address is a /32, and no allow says who may come */
    REACH_NOT_ALLOWED,     /* local_api.allow does not have the NIC's address */
    REACH_ALLOWED_IN_PART, /* (unknown) allow has some of the addresses that the NIC may get */
    REACH_NO_GATEWAY,      /* the NIC's static address needs one */
    REACH_OTHER_GATEWAY,   /* (unknown) another machine decides */
    REACH_NO_ROUTE,        /* the host's answers go another way */
    REACH_NEEDS_PORT,      /* source_binding: require, and the NIC's port has no known name */
    REACH_NO_HWADDR,       /* without such a port, only an Ethernet address tells whose it is */
    REACH_SAME_HWADDR,     /* another guest has the address, too; (unknown) while that is down */
    REACH_GUEST_FIREWALL,  /* Proxmox's firewall drops what the guest sends */
    REACH_HOST_FIREWALL,   /* Proxmox's firewall drops what reaches the host */
    REACH_REASONS
};

/* One address and port that felhomd listens on. */
struct reach_listener {
    struct sockaddr_storage address;
    unsigned int link; /* the device that has the address; 0: none or all */
    char link_name[IF_NAMESIZE];
    bool bound; /* accepts only what comes in by that device */
};

/* An address of the host. */
struct reach_address {
    unsigned int link;
    struct cidr address; /* of this one address */
    struct cidr network;
};

/* What the verdicts on all guests have in common. Everything is borrowed. */
struct reach_host {
    const struct reach_listener *listeners;
    size_t listener_count;
    bool door;           /* containers reach felhomd without a network */
    const char *problem; /* why there is no listener; "" if there is */
    const struct reach_address *addresses;
    size_t address_count;
    const struct cidr *allow; /* none: the network of each listener's own address */
    size_t allow_count;
    enum source_binding binding;
    bool firewall_drops;  /* Proxmox's firewall on the host has no rule that lets guests in */
    const char *bridge;   /* on which a new NIC reaches felhomd */
    const char *settings; /* the path of agent.yaml */
    const char *pve;      /* PVE */
};

struct reach_guest {
    uint32_t vmid;
    const struct guest_config *config; /* borrowed */
};

/* What the host knows of one NIC. */
struct reach_nic {
    const struct nic *nic; /* borrowed */
    unsigned int bridge;   /* the device's number; 0: this host does not have it */
    bool bridge_is_up;
    unsigned int link;           /* the bridge, or the device of its VLAN; 0: there is none */
    char link_name[IF_NAMESIZE]; /* its name, also while there is none */
    unsigned int route;          /* the device by which the host reaches the static address */
    bool has_port;               /* felhomd knows the guest by the port's name */
    uint32_t shared_with;        /* a guest that has the NIC's Ethernet address; 0: none */
    bool shared_is_up;           /* that guest has a port on this host now */
    bool firewall_drops;         /* Proxmox's firewall drops what the guest sends to felhomd */
};

struct reach {
    enum reach_verdict verdict;
    enum reach_reason reason;
    const struct nic *nic; /* borrowed; NULL if the reason is no NIC's */
    char link_name[IF_NAMESIZE];
    const struct reach_listener *listener; /* borrowed; NULL if the reason is no listener's */
    struct cidr peer;                      /* whose address is judged; family 0: not known */
    uint32_t shared_with;
};

/* Returns the verdict on one NIC. */
struct reach reach_judge(const struct reach_host *host, const struct reach_guest *guest,
                         const struct reach_nic *nic);

/* Returns the verdict on the guest: that on the best of its NICs, unless the door is open to it.
 * nics: the verdicts on all its NICs. */
struct reach reach_of_guest(const struct reach_host *host, const struct reach_guest *guest,
                            const struct reach *nics, size_t count);

/* Returns the verdict on a NIC whose Ethernet address another guest has, as far as that alone
 * says. */
struct reach reach_of_shared(const struct nic *nic, uint32_t shared_with);

uint16_t reach_listener_port(const struct reach_listener *listener);

/* "no", "unknown", "yes" */
const char *reach_verdict_name(enum reach_verdict verdict);

/* A word for programs: "link-down". */
const char *reach_reason_name(enum reach_reason reason);

/* Returns what is to be said of the verdict, in one sentence without a full stop. The caller frees
 * it with free(). */
char *reach_words(const struct reach_host *host, const struct reach_guest *guest,
                  const struct reach *reach);

/* Returns the command that mends it, which the caller frees with free(); NULL if there is none, as
 * for REACH_YES. */
char *reach_remedy(const struct reach_host *host, const struct reach_guest *guest,
                   const struct reach *reach);

/* Returns the words with the remedy, "WORDS; to fix it: REMEDY", which the caller frees. */
char *reach_sentence(const struct reach_host *host, const struct reach_guest *guest,
                     const struct reach *reach);

#endif
