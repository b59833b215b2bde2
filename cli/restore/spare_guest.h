/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest that a restore test restores a backup to: which backup, a VMID that nobody has, making
 * the copy harmless before it is started, and destroying what was made at that VMID, and nothing
 * else, whoever took the VMID in the meantime and whenever a run was killed.
 *
 * A copy bears the mark of its test as its description from the moment Proxmox has written its
 * configuration. Before that Proxmox has only a shell there: a configuration of a lock at most,
 * whose flock the restoring process holds. A shell that nobody holds was left by a killed or failed
 * restore. Both are destroyed, if the test recorded the VMID; anything else is somebody's guest.
 *
 * A restored copy has its original's configuration: the same addresses, directories and devices of
 * the host, hooks. Started like that, it would act in the original's place.
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

/*
 * The volume id of the guest's newest backup on the storage, the caller's to free with free().
 * Backups of another kind of guest, which had the VMID before, do not count. ERROR_MISSING where
 * there is none.
 */
int spare_guest_find_archive(const char *storage, enum guest_kind kind, uint32_t vmid,
                             struct pve_limits limits, char **ret, struct error *error);

/* The storages that take the disks of a restored copy, and what they hold of it. */

struct spare_storages {
    char **names;
    size_t count;
    const char *wanted; /* what Proxmox is told; NULL: it puts each disk where it was */
};

/*
 * restore_test.storage, or else where the original's disks are. Containers have all disks put where
 * their root is, as Proxmox would put them all on "local". Freed with spare_storages_free.
 */
void spare_storages_find(const struct config *config, const struct guest_config *original,
                         struct spare_storages *ret);
void spare_storages_free(struct spare_storages *storages);

/* The description of the test's copy, to be freed with free(). */
char *spare_guest_mark(const struct restore_test *test);

/* Whether a configuration bears the mark. */
bool spare_guest_is_marked(const struct buffer *text, const struct restore_test *test);

/* A VMID without a guest in the cluster or a disk on the storages. */
int spare_guest_choose(const struct spare_storages *storages, struct pve_limits limits,
                       uint32_t *ret, struct error *error);

/*
 * Stops and destroys what the test left, and frees disks that a shell of it did not name yet.
 * *ret_found tells whether there was anything. ERROR_BUSY where a restore is still at work there.
 */
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
