/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A nudge is an empty datagram by which felhom-hook and felhomctl tell felhomd that they have
 * committed something to the database, so that felhomd need not read the database all the time. A
 * nudge may get lost; felhomd looks by itself once a second. The socket is STATE/nudge with mode
 * 0600, so the owner of the state directory and root may send.
 */
#ifndef FELHOM_NUDGE_H
#define FELHOM_NUDGE_H

#include <stdbool.h>
#include <sys/types.h>

#include "schema/base/error.h"

/* Sends a nudge without waiting. Does nothing if felhomd is not running. */
void nudge_send(const char *state_dir);

/* Returns true if a process listens on the socket, that is, if felhomd is running. */
bool nudge_has_listener(const char *state_dir);

/*
 * Creates the socket, replacing one that a dead felhomd left. *ret_fd becomes a non-blocking
 * datagram socket, which the caller closes. ERROR_CONFLICT if another felhomd listens, or if the
 * file is not a socket.
 */
int nudge_listen(const char *state_dir, int *ret_fd, struct error *error);

/* Reads all nudges that have arrived. Returns true if there were any. */
bool nudge_receive(int fd);

/*
 * The socket STATE/reload, with the same mode: whoever connects is told how felhomd's next reload
 * ends (server/systemd/reload.h).
 */

/* How many may wait to be accepted. */
#define NUDGE_RELOAD_MAX 16

/* Like nudge_listen, but *ret_fd becomes a non-blocking listening socket of SOCK_SEQPACKET. */
int nudge_listen_reload(const char *state_dir, int *ret_fd, struct error *error);

/* Connects to it. *ret_fd: a non-blocking socket, which the caller closes; *ret_pid: the felhomd
 * that listens. */
int nudge_connect_reload(const char *state_dir, int *ret_fd, pid_t *ret_pid, struct error *error);

#endif
