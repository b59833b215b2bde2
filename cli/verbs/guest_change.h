/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing a guest's configuration to what enroll or unenroll wishes: by editing the file, by pct
 * or qm, or by both. */
#ifndef FELHOM_GUEST_CHANGE_H
#define FELHOM_GUEST_CHANGE_H

#include "cli/pve/guest_lines.h"
#include "cli/steps.h"
#include "schema/pve/guest_config.h"

/*
 * lxc.* lines are edited, under Proxmox's lock, as no command sets them. The rest is pct's or qm's
 * on a Proxmox host, and edited on a scratch one. Notes what was done; adds nothing where all was
 * as wished.
 */
int guest_change(const struct config *config, enum guest_kind kind, struct guest_lines_wish wish,
                 struct steps *steps, struct error *error);

#endif
