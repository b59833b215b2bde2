/* SPDX-License-Identifier: Apache-2.0 */
/* The registry as agent.yaml describes it. */
#ifndef FELHOM_REGISTRY_SETTINGS_H
#define FELHOM_REGISTRY_SETTINGS_H

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"

/* Adds the one line of registry.secret_file to out. ERROR_INVALID where there is none to be read.
 */
int registry_read_secret(const struct config *config, struct buffer *out, struct error *error);

/* Whose tokens are minted where, as the store knows it: USERNAME@HOST, the caller's to free; ""
 * where none are. */
char *registry_account(const struct config *config);

#endif
