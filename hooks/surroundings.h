/* SPDX-License-Identifier: Apache-2.0 */
/* What the program inherits from whoever ran it: Proxmox leaks descriptors, a shell its whole
 * environment. */
#ifndef FELHOM_SURROUNDINGS_H
#define FELHOM_SURROUNDINGS_H

#include "schema/base/error.h"

/*
 * Closes stray descriptors, makes sure that 0, 1 and 2 are open, drops the environment but for
 * FELHOM_AGENT_CONFIG, works from / under umask 077, and forbids core dumps.
 */
int surroundings_clean(struct error *error);

#endif
