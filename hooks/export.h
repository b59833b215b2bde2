/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EXPORT/VMID: the guest's directory once more, as a bind mount that is read-only from the host's
 * side. A container that mounts it cannot make it writable: a mount made in its own user namespace
 * could be remounted there.
 */
#ifndef FELHOM_EXPORT_H
#define FELHOM_EXPORT_H

#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/error.h"

/*
 * Makes the mount (ro,nosuid,nodev,noexec) of the guest's directory, which is open as source,
 * unless it is there already; one that shows a directory that is no longer the guest's is replaced.
 * Fails with ERROR_DENIED where this process may not mount.
 */
int export_mount(const struct config *config, uint32_t vmid, int source, struct error *error);

#endif
