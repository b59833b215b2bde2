/* SPDX-License-Identifier: Apache-2.0 */
/* A socket that is listened on. */
#ifndef FELHOM_LISTENING_H
#define FELHOM_LISTENING_H

#include <netinet/in.h>
#include <stdbool.h>

#include "schema/base/error.h"

#define LISTENING_NAME_SIZE 24
#define LISTENING_BACKLOG   1024 /* connections that may wait to be accepted */

/* "192.168.0.162:8443" */
void listening_name(const struct sockaddr_in *address, char ret[static LISTENING_NAME_SIZE]);

/* *ret never blocks, and is the caller's to close. */
int listening_open(const struct sockaddr_in *address, int *ret, struct error *error);

/* Whether it is a TCP socket that listens on exactly this address and port. */
bool listening_on(int fd, const struct sockaddr_in *address);

#endif
