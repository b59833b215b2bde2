/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a running container really sees its directory: looked up through the root directory of
 * one of its processes. */
#ifndef FELHOM_SIGHTING_H
#define FELHOM_SIGHTING_H

#include <stdint.h>

#include "schema/agent/config.h"

enum sighting {
    SIGHTING_UNKNOWN, /* no cgroup tree of containers here, or none of the guest's processes is to
                         be found */
    SIGHTING_SEEN,
    SIGHTING_MISSING, /* its bootstrap path shows something else, or is not there */
};

enum sighting sighting_of(const struct config *config, uint32_t vmid);

#endif
