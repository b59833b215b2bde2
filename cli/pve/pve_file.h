/* SPDX-License-Identifier: Apache-2.0 */
/* Writing below PATHS.pve, where Proxmox's cluster file system sets owners and modes itself and
 * refuses every other. */
#ifndef FELHOM_PVE_FILE_H
#define FELHOM_PVE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "schema/base/buffer.h"
#include "schema/base/error.h"

/*
 * Replaces NAME in an open directory by way of NAME.tmp.PID. Where the file system allows it the
 * file gets this mode and, if there was such a file before, its owner. Other writers are the
 * caller's to lock out.
 */
int pve_file_replace(int dirfd, const char *name, mode_t mode, const struct buffer *content,
                     struct error *error);

#endif
