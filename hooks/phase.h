/* SPDX-License-Identifier: Apache-2.0 */
/* The phases of a guest's life that Proxmox tells a hookscript of. Contract:
 * PVE::GuestHelpers::exec_hookscript. */
#ifndef FELHOM_PHASE_H
#define FELHOM_PHASE_H

#include <stdbool.h>

#include "hooks/reaction.h"

struct phase {
    const char *name;
    int (*react)(struct reaction *reaction, struct error *error);
    bool can_block;      /* a non-zero exit keeps the guest from starting */
    bool says_what_done; /* one line on standard output, for the task log */
    bool says_problems;  /* problems on standard error */
};

/* NULL for a phase that we do not react to: Proxmox adds phases. */
const struct phase *phase_find(const char *name);

#endif
