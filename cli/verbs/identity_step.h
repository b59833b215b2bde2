/* SPDX-License-Identifier: Apache-2.0 */
/* The steps by which the host gets another identity, and its guests along with it. */
#ifndef FELHOM_IDENTITY_STEP_H
#define FELHOM_IDENTITY_STEP_H

#include "cli/verb.h"
#include "store/identity/rollover.h"

#define IDENTITY_STEPS "stage|switch|retire"

/* Takes the step that the invocation's word names, and prints what was done. */
int identity_step_run(const struct invocation *invocation, struct error *error);

/* What the operator does next, in words; told as for rollover_shown. */
const char *identity_step_next(const struct rollover *rollover, const struct pins *told);

#endif
