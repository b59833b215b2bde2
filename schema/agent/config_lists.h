/* SPDX-License-Identifier: Apache-2.0 */
/* Types of values that only agent.yaml has. Each fills more than one field of struct config. */
#ifndef FELHOM_CONFIG_LISTS_H
#define FELHOM_CONFIG_LISTS_H

#include "schema/yaml/keys.h"

/* local_api.listen: A.B.C.D:PORT, or "" for none. */
extern const struct yaml_type config_listen;
/* metrics.listen: 127.X.Y.Z:PORT, or "" for none. */
extern const struct yaml_type config_loopback;
/* local_api.allow: a list of networks. */
extern const struct yaml_type config_networks;
/* storage_classes: a map of storages to classes. */
extern const struct yaml_type config_classes;

#endif
