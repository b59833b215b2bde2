/* SPDX-License-Identifier: Apache-2.0 */
/* Running guests in the control groups: CGROUP/lxc/VMID and CGROUP/qemu.slice/VMID.scope, in the
 * unified hierarchy or those of cgroup v1. */
#ifndef FELHOM_CGROUP_H
#define FELHOM_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/pve/guest_config.h"

/* Of unified, hybrid and legacy hosts: 0 .. CGROUP_HIERARCHIES - 1. */
#define CGROUP_HIERARCHIES 3

/* The folder of all guests of this kind in a hierarchy; the caller frees it. */
char *cgroup_folder(const char *cgroup, size_t hierarchy, enum guest_kind kind);

/* The guest's own name in that folder; the caller frees it. */
char *cgroup_name(enum guest_kind kind, uint32_t vmid);

/* True if the guest is in any hierarchy, so that it runs. */
bool cgroup_has_guest(const char *cgroup, enum guest_kind kind, uint32_t vmid);

/* One process of the container; 0 if none is found. */
pid_t cgroup_container_pid(const char *cgroup, uint32_t vmid);

#endif
