/* SPDX-License-Identifier: Apache-2.0 */
/* The guests whose configuration is on this node, whoever serves them. */
#ifndef FELHOM_NODE_GUESTS_H
#define FELHOM_NODE_GUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/error.h"

struct node_guests {
    uint32_t *vmids; /* in order */
    size_t count;
};

/* Lists containers and virtual machines; the caller frees them with node_guests_free.
 * ERROR_MISSING where there is no Proxmox. */
int node_guests_list(const struct config *config, struct node_guests *ret, struct error *error);
void node_guests_free(struct node_guests *guests);

/* Whether anything says that the agent is to serve it: hookscript, mount line or enrolment. */
bool node_guest_is_enrolled(const struct config *config, uint32_t vmid);

/* The guests that this host has, whoever serves them. */

struct host_guests {
    uint32_t *vmids; /* in ascending order */
    size_t count;
};

/* The containers that have a configuration on this node; the caller's to free with
 * host_guests_free. */
int host_guests_list(const struct config *config, struct host_guests *ret, struct error *error);
void host_guests_free(struct host_guests *guests);

#endif
