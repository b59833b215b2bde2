/* SPDX-License-Identifier: Apache-2.0 */
/* The host's sockets and the processes that have them, by /proc. Sockets are named by their inodes;
 * only root sees those of other users' processes. */
#ifndef FELHOM_SOCKET_H
#define FELHOM_SOCKET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/types.h>

/* Returns the socket that listens at exactly this address; 0 if none does. */
ino_t socket_listening(const struct sockaddr_in *address);

/* Returns the lowest number of a process that has the socket; 0 if none is seen. */
pid_t socket_holder(ino_t socket);

/* Whether the process has a packet socket that sees what comes in. */
bool socket_packet_is_held(pid_t process);

#endif
