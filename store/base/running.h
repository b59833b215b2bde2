/* SPDX-License-Identifier: Apache-2.0 */
/* Where running guests show in the control groups: CGROUP/lxc/VMID and
 * CGROUP/qemu.slice/VMID.scope, in whichever hierarchy. */
#ifndef FELHOM_CGROUP_H
#define FELHOM_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/pve/guest_config.h"

/* Of unified, hybrid and legacy set-ups: 0 .. CGROUP_HIERARCHIES - 1. */
#define CGROUP_HIERARCHIES 3

/* The folder of all guests of this kind in a hierarchy; the caller frees it. */
char *cgroup_folder(const char *cgroup, size_t hierarchy, enum guest_kind kind);

/* The guest's own name in that folder; the caller frees it. */
char *cgroup_name(enum guest_kind kind, uint32_t vmid);

/* Whether the guest shows in any of them: it runs. */
bool cgroup_has_guest(const char *cgroup, enum guest_kind kind, uint32_t vmid);

/* Whether a running container really sees its directory: looked up through the root directory of
 * one of its processes. */

enum sighting {
    SIGHTING_UNKNOWN, /* no cgroup tree of containers here, or none of the guest's processes is to
                         be found */
    SIGHTING_SEEN,
    SIGHTING_MISSING, /* its bootstrap path shows something else, or is not there */
};

enum sighting sighting_of(const struct config *config, uint32_t vmid);

#endif
