/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a request through the daemon. */
#ifndef FELHOM_ANSWER_H
#define FELHOM_ANSWER_H

struct mg_connection; /* CivetWeb's */
struct peer;

/* For the listener; data is the struct context. */
int answer_request(struct mg_connection *connection, const struct peer *peer, void *data);
void answer_malformed(struct mg_connection *connection, int status, void *data);

#endif
