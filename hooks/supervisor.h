/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a reaction in a child process and waits for it no longer than the deadline: a reaction that
 * hangs (a locked store, a stuck disk), crashes or runs out of memory cannot hold up the guest's
 * start, and its open transaction is rolled back. A failure becomes an event, unless the store
 * cannot be opened.
 */
#ifndef FELHOM_SUPERVISOR_H
#define FELHOM_SUPERVISOR_H

#include "hooks/reaction.h"

/*
 * Runs phase->react(reaction) and returns with reaction->report filled, its outcome never
 * REPORT_UNFINISHED. Ending the child and recording that the deadline passed may take a second and
 * a half beyond it. The child dies with this process. Nothing is left behind but, at worst, a
 * killed child that the kernel cannot yet end.
 */
void supervisor_run(const struct phase *phase, struct reaction *reaction);

#endif
