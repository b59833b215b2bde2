/* SPDX-License-Identifier: Apache-2.0 */
/* The API token that felhomd uses with Proxmox: role, user, access rights, the token and its
 * file. */
#ifndef FELHOM_PVE_TOKEN_H
#define FELHOM_PVE_TOKEN_H

#include <stddef.h>

#include "cli/base/steps.h"
#include "cli/pve/host_setup.h"
#include "schema/agent/config.h"
#include "schema/base/error.h"

/* Makes what is missing with Proxmox's pveum, writes pve.token_file (mode 0600, with the given
 * owner) and adds a step for each. A token of ours whose secret is lost is replaced; a file with
 * another user's token is left alone. node: part of the token's name, as the nodes of a cluster
 * share users and tokens. */
int pve_token_ready(const struct config *config, const char *node, struct owner owner,
                    struct steps *steps, struct error *error);

/* Returns the i-th privilege that the token needs, from 0; NULL after the last. The token needs
 * those that begin with "Datastore." on the backup storage, the others on the guests. */
const char *pve_token_privilege(size_t i);

#endif
