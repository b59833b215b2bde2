/* SPDX-License-Identifier: Apache-2.0 */
/* How a CivetWeb server ends without delay. */
#ifndef FELHOM_CIVETWEB_END_H
#define FELHOM_CIVETWEB_END_H

#include <netinet/in.h>

struct mg_context; /* CivetWeb's */

/* CivetWeb looks at its stop flag every two seconds, or when something happens on its socket, which
 * it keeps to itself: whatever listens on that address is shut. */
void civetweb_wake(const struct sockaddr_in *address);

/* Stops and frees the server, which listens on that address. */
void civetweb_end(struct mg_context *server, const struct sockaddr_in *address);

#endif
