/* SPDX-License-Identifier: Apache-2.0 */
/* A guest configuration as read, in JSON: the keys and types that Proxmox's own parser gives. */
#ifndef FELHOM_GUEST_CONFIG_JSON_H
#define FELHOM_GUEST_CONFIG_JSON_H

#include <jansson.h>

#include "schema/pve/guest_config.h"

/* A new reference, the caller's to json_decref. */
json_t *guest_config_to_json(const struct guest_config *config);

#endif
