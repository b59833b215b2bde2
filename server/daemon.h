/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's life: wait for the network, serve, heed signals. The host's boot is held up by the
 * waiting for a few seconds only. */
#ifndef FELHOM_DAEMON_H
#define FELHOM_DAEMON_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "schema/base/error.h"

/* Returns when it was told to end; -1 when it could not begin or go on. Blocks the signals that it
 * heeds. */
int daemon_run(struct error *error);

/* By what it shows cheaply that the certificate in STATE/tls was replaced. */

/* What the main thread is told with that it was: it looks closer then. */
#define SIGNAL_NEW_IDENTITY SIGUSR1

/* Zero-initialise. */
struct identity_mark {
    ino_t inode;
    struct timespec changed_at;
};

/* Whether the file is another one than at the last call. One that is missing is no other one. */
bool identity_mark_moved(struct identity_mark *mark, const char *state_dir);

#endif
