/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One at a time works on a guest's token and directory. Proxmox sees to it with its own lock in
 * three of the four phases; post-stop, a rotation, and an operator who runs the hook by hand are
 * outside it. It is taken before the store's.
 */
#ifndef FELHOM_GUEST_LOCK_H
#define FELHOM_GUEST_LOCK_H

#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/error.h"

/* Waits for the guest's lock; it is held until *ret_fd is closed. A hook's supervisor bounds the
 * wait, and how long another one waits for a hook. */
int guest_lock(const struct config *config, uint32_t vmid, int *ret_fd, struct error *error);

#endif
