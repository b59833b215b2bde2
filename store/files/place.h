/* SPDX-License-Identifier: Apache-2.0 */
/* A directory below the state directory, and to whom all that is made in it belongs: root's hook
 * and the unprivileged daemon work in the same ones. */
#ifndef FELHOM_PLACE_H
#define FELHOM_PLACE_H

#include <stdbool.h>
#include <sys/types.h>

#include "schema/base/cleanup.h"

struct place {
    int fd; /* -1: not open */
    char *path;
    uid_t uid;
    gid_t gid;
    bool only_looks; /* whatever belongs to somebody else is left alone */
};

/* Closes and frees. */
void place_free(struct place *place);
#define cleanup_place cleanup(place_free)

#endif
