/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the file behind a hookscript's volume id (STORAGE:snippets/NAME) with the help of
 * /etc/pve/storage.cfg, which says where each storage's directory is. The rest of storage.cfg is
 * ignored.
 */
#ifndef FELHOM_STORAGE_CONFIG_H
#define FELHOM_STORAGE_CONFIG_H

#include <stdbool.h>

#include "schema/base/error.h"

/* Returns true if the text is STORAGE:snippets/NAME. */
bool snippet_volume_is_valid(const char *volume);

/*
 * Finds the path of the file that the volume id STORAGE:snippets/NAME names. storage_cfg: the text
 * of storage.cfg, "" if the file does not exist (the storage "local" exists nevertheless). The
 * caller frees *ret. ERROR_MISSING if there is no such storage or it has no directory;
 * ERROR_INVALID if volume has another form.
 */
int snippet_path(const char *storage_cfg, const char *volume, char **ret, struct error *error);

#endif
