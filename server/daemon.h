/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's life: wait for the network, serve, heed signals. The host's boot is held up by the
 * waiting for a few seconds only. */
#ifndef FELHOM_DAEMON_H
#define FELHOM_DAEMON_H

#include "schema/base/error.h"

/* Returns when it was told to end; -1 when it could not begin or go on. Blocks the signals that it
 * heeds. */
int daemon_run(struct error *error);

#endif
