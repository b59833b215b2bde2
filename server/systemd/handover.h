/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passes the socket that guests connect to from one felhomd to the next, with the witness's socket
 * and notes (server/net/witness.h). In between, the service
 * manager keeps it in its file descriptor store (FileDescriptorStoreMax= of systemd.service(5)), so
 * that a guest which connects during a restart waits and is not refused. Without such a manager,
 * the socket is closed when the process ends.
 */
#ifndef FELHOM_HANDOVER_H
#define FELHOM_HANDOVER_H

#include <netinet/in.h>

#include "schema/base/error.h"

struct handover {
    int socket;  /* -1: none yet */
    int witness; /* what the felhomd before has left of its witness; -1: nothing */
    int notes;
    int packet_socket; /* what handover_leave_packet_socket has left; -1: nothing */
};

/*
 * Takes what the last felhomd left with the manager, and removes the LISTEN_ variables from
 * the environment, as sd_listen_fds(3) does. Closes other descriptors and tells the manager to
 * drop them. Call it before there are other threads. The caller ends the handover with
 * handover_end.
 */
void handover_begin(struct handover *handover);
void handover_end(struct handover *handover);

/* Leaves a packet socket for the felhomd that starts next, which may not open one itself. */
void handover_leave_packet_socket(int fd);

/* Leaves the witness's socket, and at the end its notes, with the manager, in place of what was
 * left before. The handover does not own these descriptors. */
void handover_keep_witness(struct handover *handover, int fd);
void handover_keep_notes(int fd);

/* Closes the notes that were taken over and has the manager drop them. */
void handover_drop_notes(struct handover *handover);

/* Returns in *ret a socket that listens on the address: the present one if it does, else a new one,
 * which then replaces it in the manager's store. The handover owns the socket. On failure the
 * handover has no socket any more. */
int handover_socket(struct handover *handover, const struct sockaddr_in *address, int *ret,
                    struct error *error);

#endif
