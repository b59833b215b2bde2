/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's two places below /run: its directory, and the read-only mount of it. */
#ifndef FELHOM_GUEST_PLACE_H
#define FELHOM_GUEST_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/error.h"
#include "schema/pve/guest_config.h"

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
