/* SPDX-License-Identifier: Apache-2.0 */
/* The API token by which felhomd asks Proxmox: role, user, access rights, the token and its file.
 */
#ifndef FELHOM_PVE_TOKEN_H
#define FELHOM_PVE_TOKEN_H

#include <stddef.h>

#include "cli/base/steps.h"
#include "cli/pve/host_setup.h"
#include "schema/agent/config.h"
#include "schema/base/error.h"

/*
 * Makes what is missing by Proxmox's pveum and writes pve.token_file (0600, of the owner). A token
 * of ours whose secret is lost is replaced; a file that holds another user's token stays. node
 * tells the nodes of a cluster apart, which share users and tokens.
 */
int pve_token_ready(const struct config *config, const char *node, struct owner owner,
                    struct steps *steps, struct error *error);

/* The privileges that the token needs, from 0; NULL behind the last. Those that begin with
 * "Datastore." it needs on the backup storage, the others on the guests. */
const char *pve_token_privilege(size_t i);

#endif
