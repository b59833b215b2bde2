/* SPDX-License-Identifier: Apache-2.0 */
/* How a CivetWeb server ends without delay. */
#ifndef FELHOM_CIVETWEB_END_H
#define FELHOM_CIVETWEB_END_H

#include <netinet/in.h>

struct mg_context; /* CivetWeb's */

/* Stops and frees the server, which listens on that address. */
void civetweb_end(struct mg_context *server, const struct sockaddr_in *address);

#endif
