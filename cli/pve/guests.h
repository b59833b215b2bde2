/* SPDX-License-Identifier: Apache-2.0 */
/* The guests whose configuration is on this node, whether the agent serves them or not. */
#ifndef FELHOM_NODE_GUESTS_H
#define FELHOM_NODE_GUESTS_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/agent/enrolment.h"
#include "schema/base/error.h"
#include "schema/base/vmid.h"
#include "schema/pve/guest_config.h"

/*
 * Lists the containers of this node, or its containers and virtual machines, in ascending order.
 * The caller frees *ret with vmids_free. ERROR_MISSING where the directory of their configurations
 * does not exist: this is no Proxmox host.
 */
int node_containers_list(const struct config *config, struct vmids *ret, struct error *error);
int node_guests_list(const struct config *config, struct vmids *ret, struct error *error);

/* Adds to *ret, in ascending order, the VMIDs that have an enrolment while no node of the cluster
 * has such a guest. */
int node_former_guests_list(const struct config *config, struct vmids *ret, struct error *error);

/* Returns true if the guest's hookscript, a mount line or an enrolment file shows that the agent
 * serves the guest. */
bool node_guest_is_enrolled(const struct config *config, uint32_t vmid);

/* The hardware addresses of this node's guests. */
struct node_nics {
    struct node_nic {
        struct hwaddr hwaddr;
        uint32_t vmid;
        bool enrolled; /* the guest is one of those that the agent serves */
    } * items;
    size_t count;
};

/* Reads the configurations of all guests of this node; one that cannot be read is left out. On a
 * host without Proxmox the list is empty. The caller frees it with node_nics_free. */
struct node_nics node_nics_load(const struct config *config);
void node_nics_free(struct node_nics *nics);

/* Notes that the guest is enrolled. */
void node_nics_set_enrolled(struct node_nics *nics, uint32_t vmid);

/* Returns an enrolled guest, other than vmid, that has the NIC's address, too; 0 if there is none.
 */
uint32_t node_nics_sharing(const struct node_nics *nics, uint32_t vmid, const struct nic *nic);

/* --- which guest has the VMID --- */

/* By what a guest can be told from a former one with its VMID: the volume of its root file system
 * or its first disk, and its hardware addresses, separated by commas. The enrolment has the same
 * two. */
struct guest_fingerprint {
    char *volume;
    char *hwaddrs;
};

/* The caller frees the fingerprint with guest_fingerprint_free. */
struct guest_fingerprint guest_fingerprint_of(const struct guest_config *guest);
void guest_fingerprint_free(struct guest_fingerprint *fingerprint);

/*
 * Returns what tells that the enrolment is of a guest that had the VMID before, as Proxmox gives
 * freed VMIDs out again: a text that names the two, which the caller frees with free(); NULL if
 * nothing does. A guest whose configuration mounts the VMID's directory is the enrolled one. Else a
 * hardware address in common makes it the same; the volume counts only where one of the two has no
 * NIC, as Proxmox names a new guest's volume like the former one's.
 */
char *guest_fingerprint_differs(const struct config *config, uint32_t vmid,
                                const struct enrolment *enrolment,
                                const struct guest_config *guest);

#endif
