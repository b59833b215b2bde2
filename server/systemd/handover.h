/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket that guests connect to, handed from one felhomd to the next: the service manager keeps
 * it in its file descriptor store meanwhile (FileDescriptorStoreMax= of systemd.service(5)), so
 * that whoever connects during a restart waits and is not refused. Where nobody keeps it, it ends
 * with the process.
 */
#ifndef FELHOM_HANDOVER_H
#define FELHOM_HANDOVER_H

#include <netinet/in.h>

#include "schema/base/error.h"

struct handover {
    int socket; /* -1: none yet */
};

/* Takes what the last felhomd has left with the manager, and clears the environment of its traces,
 * as sd_listen_fds(3) has it. What is none of ours is closed, and the manager told to drop it. To
 * be called before there are other threads. Ends with handover_end. */
void handover_begin(struct handover *handover);
void handover_end(struct handover *handover);

/* The socket that listens on that address: the present one, or else a new one, which the manager
 * keeps in its place. It stays the handover's. On failure there is none any more. */
int handover_socket(struct handover *handover, const struct sockaddr_in *address, int *ret,
                    struct error *error);

#endif
