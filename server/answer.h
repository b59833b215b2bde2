/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a request through the daemon. */
#ifndef FELHOM_ANSWER_H
#define FELHOM_ANSWER_H

struct mg_connection; /* CivetWeb's */
struct peer;

/* For the listener; the context is the agent. */
int answer_request(struct mg_connection *connection, const struct peer *peer, void *context);
void answer_malformed(struct mg_connection *connection, int status, void *context);

#endif
