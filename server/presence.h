/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a guest is there, as the host's file systems show it. */
#ifndef FELHOM_PRESENCE_H
#define FELHOM_PRESENCE_H

#include <stdint.h>

#include "schema/pve/guest_config.h"

enum presence {
    PRESENCE_UNKNOWN, /* there is no place to look at */
    PRESENCE_YES,
    PRESENCE_NO,
};

/* Whether this node has a configuration of the guest. Where /etc/pve is not mounted, nothing is
 * known. */
enum presence presence_configured(const char *pve, uint32_t vmid);

/* Whether the guest runs: its control group exists, in whichever hierarchy. */
enum presence presence_running(const char *cgroup, enum guest_kind kind, uint32_t vmid);

#endif
