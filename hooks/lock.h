/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One reaction at a time for one guest. Proxmox sees to it with its own lock in three of the four
 * phases; post-stop, and an operator who runs the hook by hand, are outside it.
 */
#ifndef FELHOM_LOCK_H
#define FELHOM_LOCK_H

#include "schema/config.h"
#include "schema/error.h"

/* Waits for the guest's lock; it is held until *ret_fd is closed. The supervisor's deadline bounds
 * the wait. */
int guest_lock(const struct config *config, uint32_t vmid, int *ret_fd, struct error *error);

#endif
