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
    const struct verb *const *verbs; /* the first is the default */
    size_t count;
};

struct arguments {
    const struct verb *verb; /* may be NULL with help or version */
    bool help;
    bool version;
    bool quiet;
    struct invocation invocation; /* out and warnings are left alone */
};

/*
 * Parses the command line. Global options (--output-format, --quiet, --help, --version) may come
 * before or after the verb. On failure *ret_verb is the verb whose usage to print, or NULL for the
 * usage of felhomctl. The caller frees *ret with arguments_free.
 */
int arguments_parse(const struct verb_table *table, int argc, char **argv, struct arguments *ret,
                    const struct verb **ret_verb, struct error *error);
void arguments_free(struct arguments *arguments);

/* Prints the verb's usage or, with NULL, that of felhomctl with the list of verbs. */
void usage_print(FILE *out, const struct verb_table *table, const struct verb *verb);

#endif
