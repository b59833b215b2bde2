/* SPDX-License-Identifier: Apache-2.0 */
/* The table of agent.yaml's keys. */
#ifndef FELHOM_CONFIG_KEYS_H
#define FELHOM_CONFIG_KEYS_H

#include "schema/yaml/keys.h"

/* Every key with type, default and bounds; its document is a struct config. */
extern const struct yaml_table config_table;

#endif
