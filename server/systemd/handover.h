/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket that guests connect to, handed from one felhomd to the next. In between, the service
 * manager keeps it in its file descriptor store (FileDescriptorStoreMax= of systemd.service(5)), so
 * that a guest which connects during a restart waits and is not refused. Without a manager that
 * keeps it, the socket ends with the process.
 */
#ifndef FELHOM_HANDOVER_H
#define FELHOM_HANDOVER_H

#include <netinet/in.h>

#include "schema/base/error.h"

struct handover {
    int socket; /* -1: none yet */
};

/*
 * Takes what the last felhomd left with the manager, and removes the variables that tell of it from
 * the environment, as sd_listen_fds(3) does. Closes descriptors that are not ours, and tells the
 * manager to drop them. To be called before there are other threads. Ends with handover_end.
 */
void handover_begin(struct handover *handover);
void handover_end(struct handover *handover);

/* Returns in *ret the socket that listens on the address: the present one if it does, else a new
 * one, which the manager keeps in its place. The socket stays the handover's. On failure the
 * handover has no socket any more. */
int handover_socket(struct handover *handover, const struct sockaddr_in *address, int *ret,
                    struct error *error);

#endif
