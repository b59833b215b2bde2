/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing a guest's configuration to what enroll or unenroll wishes: by editing the file, by pct
 * or qm, or by both. */
#ifndef FELHOM_GUEST_CHANGE_H
#define FELHOM_GUEST_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/base/steps.h"
#include "cli/pve/guest_lines.h"
#include "schema/agent/config.h"
#include "schema/base/error.h"
#include "schema/pve/guest_config.h"

/*
 * lxc.* lines are edited, under Proxmox's lock, as no command sets them. The rest is pct's or qm's
 * on a Proxmox host, and edited on a scratch one. Notes what was done; adds nothing where all was
 * as wished.
 */
int guest_change(const struct config *config, enum guest_kind kind, struct guest_lines_wish wish,
                 struct steps *steps, struct error *error);

/* A guest's two places below /run: its directory, and the read-only mount of it. */

/* Makes GUESTS/VMID, empty, so that it can be mounted before the guest's next start fills it.
 * *ret_made: it was missing. */
int guest_place_make(const struct config *config, uint32_t vmid, const struct guest_config *guest,
                     bool *ret_made, struct error *error);

/*
 * Takes EXPORT/VMID away. A mount there goes too if it shows GUESTS/VMID; any other is refused with
 * ERROR_CONFLICT. None is no failure.
 */
int guest_place_unexport(const struct config *config, uint32_t vmid, bool *ret_removed,
                         struct error *error);

#endif
