/* SPDX-License-Identifier: Apache-2.0 */
/* The command line, read by a table of verbs. */
#ifndef FELHOM_ARGUMENTS_H
#define FELHOM_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/base/verb.h"
#include "schema/base/error.h"

struct verb_table {
    const struct verb *const *verbs; /* the first is meant where none is named */
    size_t count;
};

struct arguments {
    const struct verb *verb; /* NULL where none was named and help or version asked for */
    bool help;
    bool version;
    bool quiet;
    struct invocation invocation; /* out and warnings are left alone */
};

/*
 * Reads the command line. On failure *ret_verb names the verb whose usage would help, NULL for that
 * of all. Global options (--output-format,
 * --quiet, --help, --version) may stand before or behind the verb. The caller frees *ret with
 * arguments_free.
 */
int arguments_parse(const struct verb_table *table, int argc, char **argv, struct arguments *ret,
                    const struct verb **ret_verb, struct error *error);
void arguments_free(struct arguments *arguments);

/* Prints how the verb is used, or with NULL what verbs there are. */
void usage_print(FILE *out, const struct verb_table *table, const struct verb *verb);

#endif
