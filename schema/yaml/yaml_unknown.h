/* SPDX-License-Identifier: Apache-2.0 */
/* What to say about a key that a table does not have. */
#ifndef FELHOM_YAML_UNKNOWN_H
#define FELHOM_YAML_UNKNOWN_H

#include "schema/base/error.h"
#include "schema/yaml/keys.h"

/*
 * Refuses an entry of a section ("" at the top). Says which key was likely meant: one spelt alike
 * beside it or spelt the same in another section; otherwise which keys there are.
 */
int yaml_refuse_unknown(const struct yaml_table *table, const char *section,
                        const struct yaml_entry *entry, struct error *error);

#endif
