/* SPDX-License-Identifier: Apache-2.0 */
/* JSON values as YAML. */
#ifndef FELHOM_JSON_YAML_H
#define FELHOM_JSON_YAML_H

#include <jansson.h>

#include "schema/yaml/tree.h"

/* The same value: texts stand in double quotes, so that none is taken for a number, a date or a
 * truth. The caller's to free with yaml_tree_free. */
struct yaml_tree *yaml_tree_of_json(json_t *value);

#endif
