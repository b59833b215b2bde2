/* SPDX-License-Identifier: Apache-2.0 */
/* The guests whose configuration is on this node, whether the agent serves them or not. */
#ifndef FELHOM_NODE_GUESTS_H
#define FELHOM_NODE_GUESTS_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/error.h"
#include "schema/base/vmid.h"

/*
 * Lists the containers of this node, or its containers and virtual machines, in ascending order.
 * The caller frees *ret with vmids_free. ERROR_MISSING where the directory of their configurations
 * does not exist: this is no Proxmox host.
 */
int node_containers_list(const struct config *config, struct vmids *ret, struct error *error);
int node_guests_list(const struct config *config, struct vmids *ret, struct error *error);

/* Returns true if the guest's hookscript, a mount line or an enrolment file shows that the agent
 * serves the guest. */
bool node_guest_is_enrolled(const struct config *config, uint32_t vmid);

#endif
