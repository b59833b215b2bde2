/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest to which a restore test restores a backup: finds the backup and a free VMID, makes the
 * copy harmless before it is started, and destroys what was made at that VMID and nothing else,
 * even if another guest has taken the VMID or an earlier run was killed.
 *
 * A copy has the mark of its test as its description as soon as Proxmox has written its
 * configuration. Before that, Proxmox's configuration is empty or has a lock only ("shell" in the
 * code), and the restoring process holds its flock. A shell whose flock nobody holds was left by a
 * killed or failed restore. Both are destroyed if the test recorded the VMID; anything else is
 * another user's guest.
 *
 * A restored copy has its original's configuration: the same addresses, hooks, and directories and
 * devices of the host. If it were started like that, it would act as the original.
 */
#ifndef FELHOM_SPARE_GUEST_H
#define FELHOM_SPARE_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/pve/command.h"
#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"
#include "schema/pve/guest_config.h"
#include "store/tables/job.h"

/* Finds the volume id of the guest's newest backup on the storage; the caller frees it with free().
 * Backups of a guest of another kind that had the VMID before do not count. ERROR_MISSING if there
 * is none. */
int spare_guest_find_archive(const char *storage, enum guest_kind kind, uint32_t vmid,
                             struct pve_limits limits, char **ret, struct error *error);

/* The storages that get the disks of a restored copy, and what they have of it. */

struct spare_storages {
    char **names;
    size_t count;
    const char *wanted; /* what Proxmox is told; NULL: it puts each disk where it was */
};

/* Finds restore_test.storage or, if that is not set, the storages of the original's disks. All
 * disks of a container go to the storage of its root, as Proxmox would put them all on "local". The
 * caller frees *ret with spare_storages_free. */
void spare_storages_find(const struct config *config, const struct guest_config *original,
                         struct spare_storages *ret);
void spare_storages_free(struct spare_storages *storages);

/* Returns the description of the test's copy; the caller frees it with free(). */
char *spare_guest_mark(const struct restore_test *test);

/* Returns true if a configuration has the test's mark. */
bool spare_guest_is_marked(const struct buffer *text, const struct restore_test *test);

/* Finds a VMID without a guest in the cluster and without a disk on the storages. */
int spare_guest_choose(const struct spare_storages *storages, struct pve_limits limits,
                       uint32_t *ret, struct error *error);

/* Stops and destroys what the test left, and deletes disks that its configuration did not contain
 * yet. *ret_found is set to whether there was anything. ERROR_BUSY if a restore is still running
 * there. */
int spare_guest_clear(const struct config *config, const struct spare_storages *storages,
                      const struct restore_test *test, bool *ret_found, struct error *error);

/* Whether the guest runs, by Proxmox's word; *ret_word, if not NULL, is that ("running",
 * "stopped", ...), to be freed with free(). */
int spare_guest_running(enum guest_kind kind, uint32_t vmid, struct pve_limits limits, bool *ret,
                        char **ret_word, struct error *error);

/*
 * Takes out of the copy's configuration whatever reaches beyond its own disks, and every line that
 * is not known for harmless; all of its NICs are unplugged (link_down=1). Works on the text alone.
 * ERROR_CONFLICT where the copy must not be started even so, as one of its volumes is the
 * original's or its root is none of Proxmox's: the text then lacks those lines too.
 */
int spare_guest_make_harmless(uint32_t vmid, const struct guest_config *original,
                              struct buffer *text, struct error *error);

#endif
