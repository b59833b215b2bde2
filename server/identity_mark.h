/* SPDX-License-Identifier: Apache-2.0 */
/* By what it shows cheaply that the certificate in STATE/tls was replaced. */
#ifndef FELHOM_IDENTITY_MARK_H
#define FELHOM_IDENTITY_MARK_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

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
