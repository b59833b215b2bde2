/* SPDX-License-Identifier: Apache-2.0 */
/* Reads from Proxmox's API with Proxmox's command-line tool, pvesh. */
#ifndef FELHOM_PVE_QUERY_H
#define FELHOM_PVE_QUERY_H

#include <jansson.h>
#include <stdint.h>

#include "cli/pve/command.h"
#include "schema/base/error.h"

/* Reads a path of the API ("pvesh get PATH"). options: those of pvesh, at most 8, terminated by
 * NULL. The caller releases *ret with json_decref. */
int pve_query(const char *path, const char *const *options, struct pve_limits limits, json_t **ret,
              struct error *error);

/* Lists a guest's volumes on a storage as an array of objects. content: only of this type
 * ("backup", ...); NULL: of every type. */
int pve_query_content(const char *storage, const char *content, uint32_t vmid,
                      struct pve_limits limits, json_t **ret, struct error *error);

#endif
