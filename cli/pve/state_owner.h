/* SPDX-License-Identifier: Apache-2.0 */
/* Whose the state directory is: the daemon's user, whose files all that lies below become. */
#ifndef FELHOM_STATE_OWNER_H
#define FELHOM_STATE_OWNER_H

#include <stdbool.h>
#include <sys/types.h>

#include "schema/base/error.h"

#define STATE_USER "felhom-agent" /* whom the state belongs to, unless init is told otherwise */

struct owner {
    uid_t uid; /* (uid_t)-1: left alone */
    gid_t gid;
};

/* The user's ids, or (uid_t)-1 where there is no such user or this process is not root. *ret_known:
 * there is one. */
int state_owner_find(const char *user, struct owner *ret, bool *ret_known, struct error *error);

/*
 * Makes the state directory where it is missing. One that root made before there was such a user is
 * handed over with its identity; one of anybody else stays as it is. *ret_changed tells whether
 * anything was done.
 */
int state_directory_ready(const char *path, struct owner owner, bool *ret_changed,
                          struct error *error);

#endif
