/* SPDX-License-Identifier: Apache-2.0 */
/* Another's hookscript that the guest had before ours: it is called in each phase once our reaction
 * is over, as Proxmox would call it. */
#ifndef FELHOM_CHAIN_H
#define FELHOM_CHAIN_H

#include "hooks/reaction.h"

/* Finds out by the guest's enrolment which one there is, and puts it into the report. */
void chain_find(struct reaction *reaction);

/*
 * Becomes the hookscript, if there is one: its output and its exit status are then ours, and there
 * is no deadline. Otherwise returns what to exit with: a hookscript that cannot be run is a
 * failure, as it is to Proxmox.
 */
int chain_run(const struct report *report, uint32_t vmid, const char *phase);

#endif
