/* SPDX-License-Identifier: Apache-2.0 */
/* Proxmox's storage.cfg, as far as hookscripts go. */
#ifndef FELHOM_STORAGE_CONFIG_H
#define FELHOM_STORAGE_CONFIG_H

#include <stdbool.h>

#include "schema/base/error.h"

/* Whether the text is STORAGE:snippets/NAME. */
bool snippet_volume_is_valid(const char *volume);

/*
 * The file that a volume id STORAGE:snippets/NAME names by the text of storage.cfg ("" where there
 * is none: "local" is there nonetheless); the caller frees it. ERROR_MISSING where there is no such
 * storage, or where it has no directory.
 */
int snippet_path(const char *storage_cfg, const char *volume, char **ret, struct error *error);

#endif
