/* SPDX-License-Identifier: Apache-2.0 */
/* The API token by which Proxmox is called (pve_token_check is in server/jobs/pve_client.h). */
#ifndef FELHOM_PVE_TOKEN_H
#define FELHOM_PVE_TOKEN_H

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"

/* Adds USER@REALM!TOKENID=UUID to out. Fails as pve_token_check does. */
int pve_token_read(const struct config *config, struct buffer *out, struct error *error);

#endif
