/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest that a backup is restored to: finding a VMID that nobody has, and destroying what was
 * made there, and nothing else, whoever took the VMID in the meantime and whenever a run was
 * killed.
 *
 * A copy bears the mark of its test as its description from the moment Proxmox has written its
 * configuration. Before that Proxmox has only a shell there: a configuration of a lock at most,
 * whose flock the restoring process holds. A shell that nobody holds was left by a killed or failed
 * restore. Both are destroyed, if the test recorded the VMID; anything else is somebody's guest.
 */
#ifndef FELHOM_SPARE_GUEST_H
#define FELHOM_SPARE_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/pve/command.h"
#include "schema/agent/config.h"
#include "schema/base/error.h"
#include "schema/pve/guest_config.h"
#include "store/tables/restore_test.h"

/* The storages that take the disks of a restored copy, and what they hold of it. */

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

/* The description of the test's copy, to be freed with free(). */
char *spare_guest_mark(const struct restore_test *test);

/* Whether a configuration bears the mark. */
bool spare_guest_is_marked(const struct buffer *text, const struct restore_test *test);

/* A VMID without a guest in the cluster or a disk on the storages. */
int spare_guest_choose(const struct copy_storages *storages, struct pve_limits limits,
                       uint32_t *ret, struct error *error);

/*
 * Stops and destroys what the test left, and frees disks that a shell of it did not name yet.
 * *ret_found tells whether there was anything. ERROR_BUSY where a restore is still at work there.
 */
int spare_guest_clear(const struct config *config, const struct copy_storages *storages,
                      const struct restore_test *test, bool *ret_found, struct error *error);

/* Whether the guest runs, by Proxmox's word; *ret_word, if not NULL, is that ("running",
 * "stopped", ...), to be freed with free(). */
int spare_guest_running(enum guest_kind kind, uint32_t vmid, struct pve_limits limits, bool *ret,
                        char **ret_word, struct error *error);

#endif
