/* SPDX-License-Identifier: Apache-2.0 */
/* Being asked to end: a verb that has something to clean up does so first. */
#ifndef FELHOM_INTERRUPT_H
#define FELHOM_INTERRUPT_H

#include <stdbool.h>
#include <stdio.h>

#include "schema/base/error.h"

/* From here on SIGINT, SIGTERM and SIGHUP end nothing by themselves: the descriptor, the caller's
 * to close, can be read once one has come. */
int interrupt_open(int *ret_fd, struct error *error);

/* Whether one has come, waiting for it as long as this. */
bool interrupt_wait(int fd, int timeout_ms);

/* The same, and true as well once nobody reads from out any more. */
bool interrupt_wait_or_closed(int fd, FILE *out, int timeout_ms);

#endif
