/* SPDX-License-Identifier: Apache-2.0 */
/* Whether guests can reach felhomd, for felhomctl: what store/host/reach_facts.h says, with the
 * guests that share a hardware address and with Proxmox's firewall. */
#ifndef FELHOM_CLI_GUEST_REACH_H
#define FELHOM_CLI_GUEST_REACH_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/pve/guests.h"
#include "schema/agent/config.h"
#include "schema/base/error.h"
#include "schema/pve/guest_config.h"
#include "store/host/reach_facts.h"

/* What is the same for all guests of the host. */
struct node_reach {
    const struct config *config;  /* borrowed */
    const struct node_nics *nics; /* borrowed */
    struct reach_facts facts;
    bool is_loaded;        /* else the host did not say, and there are no verdicts */
    bool cluster_filtered; /* Proxmox's firewall is on in the cluster */
};

/* Asks the host. config and nics must outlive the result, which the caller frees with
 * node_reach_free. */
struct node_reach node_reach_load(const struct config *config, const struct node_nics *nics);
void node_reach_free(struct node_reach *reach);

/* Judges the guest's NICs; only while is_loaded. The caller frees the result with guest_reach_free,
 * before the guest's configuration. */
struct guest_reach node_reach_judge(struct node_reach *reach, uint32_t vmid,
                                    const struct guest_config *guest);

/* Reads Proxmox's firewall file PVE/NAME; *ret stays empty if there is none. */
void firewall_file_load(const struct config *config, const char *name, struct buffer *ret);

#endif
