/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that agent.yaml names and that felhomd reads while it works: the template for
 * controller.yaml, secrets, CA certificates. Whoever changes one of them, or agent.yaml, can check
 * them before felhomd needs them.
 */
#ifndef FELHOM_NAMED_FILES_H
#define FELHOM_NAMED_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "schema/agent/config.h"
#include "schema/base/error.h"

enum named_file_kind {
    NAMED_TEMPLATE,     /* YAML; may be missing */
    NAMED_LINE,         /* a secret in one line */
    NAMED_CERTIFICATES, /* in PEM */
};

struct named_file {
    const char *key; /* of agent.yaml, such as hub.ca_file */
    enum named_file_kind kind;
    bool may_be_missing;
    const char *path; /* owned by the configuration */
};

#define NAMED_FILES_MAX 7

/* Lists the files that the configuration needs, and returns their number. */
size_t named_files_list(const struct config *config, struct named_file ret[static NAMED_FILES_MAX]);

/* Fails if this process cannot read the file or its content is no use: "KEY: PATH: why", for a
 * template with line and column. ERROR_MISSING if there is no such file and there must be one. */
int named_file_check(const struct named_file *file, struct error *error);

#endif
