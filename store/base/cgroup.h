/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds out which guests are running from the control groups that Proxmox creates for them:
 * CGROUP/lxc/VMID for containers and CGROUP/qemu.slice/VMID.scope for virtual machines. Hosts with
 * cgroup v2 (unified), v1 (legacy) and both (hybrid) have these directories in different places,
 * called hierarchies here. All of them are searched.
 */
#ifndef FELHOM_CGROUP_H
#define FELHOM_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/pve/guest_config.h"

/* The number of hierarchies; they are numbered from 0. */
#define CGROUP_HIERARCHIES 3

/* Returns the directory for all guests of this kind in a hierarchy. The caller frees it. */
char *cgroup_folder(const char *cgroup, size_t hierarchy, enum guest_kind kind);

/* Returns what follows the VMID in the names of the guests' directories in that folder. */
const char *cgroup_suffix(enum guest_kind kind);

/* Returns the name of the guest's directory in that folder. The caller frees it. */
char *cgroup_name(enum guest_kind kind, uint32_t vmid);

/* Whether a guest runs, by its control groups. */
enum cgroup_state {
    CGROUP_UNKNOWN, /* no hierarchy has a directory for guests of this kind */
    CGROUP_RUNS,
    CGROUP_ABSENT, /* it has no control group, or one that the guest's last process has left */
};

enum cgroup_state cgroup_guest_state(const char *cgroup, enum guest_kind kind, uint32_t vmid);

/* Returns the id of one process of the container; 0 if none is found. */
pid_t cgroup_container_pid(const char *cgroup, uint32_t vmid);

/* Returns the id of the container's first process, its init; 0 if it is not found. A process inside
 * may have entered other namespaces than the container's, but its init has not. */
pid_t cgroup_container_init(const char *cgroup, uint32_t vmid);

#endif
