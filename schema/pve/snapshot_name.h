/* SPDX-License-Identifier: Apache-2.0 */
/* Names of snapshots. */
#ifndef FELHOM_SNAPSHOT_NAME_H
#define FELHOM_SNAPSHOT_NAME_H

#include "schema/base/error.h"

#define SNAPSHOT_NAME_SIZE 41

/*
 * Proxmox's rule (pve-snapshot-name): 2 to 40 characters, a letter, then letters, digits, _ and -;
 * "current", "pending" and "vzdump", in whatever case, are its own. ERROR_INVALID with the rule
 * that is broken.
 */
int snapshot_name_check(const char *name, struct error *error);

#endif
