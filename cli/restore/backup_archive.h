/* SPDX-License-Identifier: Apache-2.0 */
/* The backups of a guest that Proxmox has. */
#ifndef FELHOM_BACKUP_ARCHIVE_H
#define FELHOM_BACKUP_ARCHIVE_H

#include <stdint.h>

#include "cli/pve/command.h"
#include "schema/base/error.h"
#include "schema/pve/guest_config.h"

/*
 * The volume id of the newest one on the storage, the caller's to free with free(). Those of
 * another kind of guest, which had the VMID before, do not count. ERROR_MISSING where there is
 * none.
 */
int backup_archive_newest(const char *storage, enum guest_kind kind, uint32_t vmid,
                          struct pve_limits limits, char **ret, struct error *error);

#endif
