/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host knows of its guests' ways to felhomd, for the verdicts of schema/agent/reach.h: the
 * addresses that felhomd listens on, the host's addresses, and each NIC's bridge or VLAN device.
 * Cheap enough for a guest's start: a few questions for each NIC.
 *
 * What needs more is the caller's to add: which guest has the same Ethernet address, and what
 * Proxmox's firewall drops.
 */
#ifndef FELHOM_REACH_FACTS_H
#define FELHOM_REACH_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/agent/reach.h"
#include "schema/base/error.h"

struct reach_facts {
    struct reach_host host; /* points into what follows */
    struct reach_listener *listeners;
    struct reach_address *addresses;
    unsigned int *asked; /* the devices whose addresses are known; 0: of all */
    size_t asked_count;
    char *problem;
    char *bridge;
    int socket;  /* for questions about devices */
    int netlink; /* for addresses and routes */
};

/* Asks the host. config must outlive *ret, which the caller frees with reach_facts_free. Fails if
 * the kernel does not answer; that felhomd has no address to listen on is no failure. */
int reach_facts_load(const struct config *config, struct reach_facts *ret, struct error *error);
void reach_facts_free(struct reach_facts *facts);

/* The verdicts on a guest. */
struct guest_reach {
    struct reach_guest guest;
    struct reach *nics; /* in the order of its configuration */
    size_t count;
    struct reach whole; /* the verdict on the guest */
};

/* Judges each NIC of the guest, and asks the host what is not known yet; complete, which may be
 * NULL, adds the caller's part of what is known of a NIC. The facts and the guest's configuration
 * must outlive the result, which the caller frees with guest_reach_free. */
struct guest_reach reach_facts_judge(struct reach_facts *facts, const struct reach_guest *guest,
                                     void (*complete)(void *context, struct reach_nic *nic),
                                     void *context);
void guest_reach_free(struct guest_reach *reach);

/* Returns true if the guest has a port on this host now. */
bool reach_facts_guest_is_up(uint32_t vmid);

#endif
