/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options that a guest's controller container is run with, such as --memory=512m, as the
 * operator wishes them in an enrolment: a YAML list there, a JSON array in bootstrap.json. Held as
 * one text with an option in each line, "" for none.
 */
#ifndef FELHOM_RUN_OPTIONS_H
#define FELHOM_RUN_OPTIONS_H

#include <jansson.h>

#include "schema/yaml/keys.h"
#include "schema/yaml/tree.h"

/*
 * A char * field, never NULL. Each option is --NAME or --NAME=VALUE without control characters;
 * those that are the guest's own business (--name, --detach, --rm, --interactive, --tty, --cidfile)
 * are refused, and so are more than 64 of them.
 */
extern const struct yaml_type run_options;

/* The options as a list; the caller's to free. */
struct yaml_tree *run_options_yaml(const char *options);
json_t *run_options_json(const char *options);

#endif
