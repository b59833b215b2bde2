/* SPDX-License-Identifier: Apache-2.0 */
/* Proxmox's API, asked by its own command-line tool. */
#ifndef FELHOM_PVE_QUERY_H
#define FELHOM_PVE_QUERY_H

#include <jansson.h>
#include <stdint.h>

#include "cli/pve/command.h"
#include "schema/base/error.h"

/* What the path answers. options are pvesh's, at most 8, and end with NULL. *ret is the caller's to
 * json_decref. */
int pve_query(const char *path, const char *const *options, struct pve_limits limits, json_t **ret,
              struct error *error);

/* What a storage holds of a VMID: an array of objects. content: of this type alone ("backup", ...);
 * NULL: of any. */
int pve_query_content(const char *storage, const char *content, uint32_t vmid,
                      struct pve_limits limits, json_t **ret, struct error *error);

#endif
