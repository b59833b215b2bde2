/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A nudge tells felhomd that something was committed, so that it need not look all the time. It
 * carries nothing and may get lost: felhomd looks once a second by itself. The socket is
 * STATE/nudge, mode 0600: the state directory's owner and root may send.
 */
#ifndef FELHOM_NUDGE_H
#define FELHOM_NUDGE_H

#include <stdbool.h>

#include "schema/base/error.h"

/* Never waits; where nobody listens, nothing happens. */
void nudge_send(const char *state_dir);

/* Whether somebody listens: felhomd runs. */
bool nudge_has_listener(const char *state_dir);

/* A non-blocking datagram socket, the caller's to close. Takes the place of one that a dead daemon
 * left; ERROR_CONFLICT where a living one listens, or something else has the name. */
int nudge_listen(const char *state_dir, int *ret_fd, struct error *error);

/* Takes in all nudges that came; what they say is of no interest. Whether there were any. */
bool nudge_receive(int fd);

#endif
