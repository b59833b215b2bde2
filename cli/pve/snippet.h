/* SPDX-License-Identifier: Apache-2.0 */
/* The name under which Proxmox finds the hook: a link in the snippets directory of the storage
 * "local". */
#ifndef FELHOM_SNIPPET_H
#define FELHOM_SNIPPET_H

#include "cli/base/steps.h"
#include "schema/base/error.h"

#define SNIPPET_STORAGE   "/var/lib/vz" /* "local" is there, whatever storage.cfg says */
#define SNIPPET_DIRECTORY SNIPPET_STORAGE "/snippets"
#define SNIPPET_HOOK      "/usr/libexec/felhom-agent/felhom-hook"

/*
 * Makes DIRECTORY/felhom-hook a link to hook, and the directory (0755) where it is missing,
 * and adds it to steps. Something else of that name is refused with ERROR_CONFLICT, a hook that
 * cannot be run with ERROR_MISSING, as no guest that names it could start.
 */
int snippet_make(const char *directory, const char *hook, struct steps *steps, struct error *error);

#endif
