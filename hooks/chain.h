/* SPDX-License-Identifier: Apache-2.0 */
/* The hookscript that the guest had before ours, named by the guest's enrolment: it is called in
 * each phase once our reaction is over, as Proxmox would call it. */
#ifndef FELHOM_CHAIN_H
#define FELHOM_CHAIN_H

#include "hooks/reaction.h"

/* Finds the guest's chained hookscript, if any, and puts its path into the report. */
void chain_find(struct reaction *reaction);

/*
 * Becomes the chained hookscript, if there is one: its output and its exit status are then ours,
 * and there is no deadline. Returns only if there is none (EXIT_SUCCESS) or it cannot be run
 * (EXIT_FAILURE, as Proxmox would fail).
 */
int chain_run(const struct report *report, uint32_t vmid, const char *phase);

#endif
