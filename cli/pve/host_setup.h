/* SPDX-License-Identifier: Apache-2.0 */
/* What a host needs before it can serve guests: the state directory, which is felhomd's, and the
 * link by which Proxmox finds the hook. */
#ifndef FELHOM_HOST_SETUP_H
#define FELHOM_HOST_SETUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "cli/base/steps.h"
#include "schema/base/error.h"

#define STATE_USER "felhom-agent" /* whom the state belongs to, unless init is told otherwise */

#define SNIPPET_STORAGE   "/var/lib/vz" /* "local" is there, whatever storage.cfg says */
#define SNIPPET_DIRECTORY SNIPPET_STORAGE "/snippets"
#define SNIPPET_HOOK      "/usr/libexec/felhom-agent/felhom-hook"

struct owner {
    uid_t uid; /* (uid_t)-1: leave the owner alone */
    gid_t gid;
};

/* Looks up a user's ids. *ret has (uid_t)-1 if there is no such user or this process is not root;
 * *ret_known is set to whether the user exists. */
int host_setup_owner(const char *user, struct owner *ret, bool *ret_known, struct error *error);

/* Makes the state directory if it is missing. If it belongs to root (made before the user existed),
 * it and the TLS identity in it are given to the owner; a directory of any other user stays as it
 * is. *ret_changed is set to whether anything was done. */
int host_setup_state(const char *path, struct owner owner, bool *ret_changed, struct error *error);

struct snippet_made {
    bool directory;
    bool link;
};

/* Makes DIRECTORY/felhom-hook a link to hook, makes the directory (0755) if it is missing, and adds
 * a step. ERROR_CONFLICT if something else has that name; ERROR_MISSING for a hook that cannot be
 * run, as no guest with that hookscript could start. *ret_made is set on failure, too; ret_made may
 * be NULL. */
int host_setup_snippet(const char *directory, const char *hook, struct steps *steps,
                       struct snippet_made *ret_made, struct error *error);

/* Removes what host_setup_snippet has just made. */
int host_setup_remove_snippet(const char *directory, const struct snippet_made *made,
                              struct error *error);

#endif
