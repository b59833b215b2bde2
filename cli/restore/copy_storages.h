/* SPDX-License-Identifier: Apache-2.0 */
/* The storages that take the disks of a restored copy, and what they hold of it. */
#ifndef FELHOM_COPY_STORAGES_H
#define FELHOM_COPY_STORAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/pve/command.h"
#include "schema/agent/config.h"
#include "schema/base/error.h"
#include "schema/pve/guest_config.h"

struct copy_storages {
    char **names;
    size_t count;
    const char *wanted; /* what Proxmox is told; NULL: it puts each disk where it was */
};

/*
 * restore_test.storage, or else where the original's disks are. Containers have all disks put where
 * their root is, as Proxmox would put them all on "local". Freed with copy_storages_free.
 */
void copy_storages_find(const struct config *config, const struct guest_config *original,
                        struct copy_storages *ret);
void copy_storages_free(struct copy_storages *storages);

/* Whether any of them holds a disk of this VMID. */
int copy_storages_used(const struct copy_storages *storages, uint32_t vmid,
                       struct pve_limits limits, bool *ret, struct error *error);

/* Removes the disks of a VMID that no configuration names; those that are certainly older stay. */
int copy_storages_clear(const struct copy_storages *storages, uint32_t vmid, int64_t since_ms,
                        struct error *error);

#endif
