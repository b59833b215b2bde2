/* SPDX-License-Identifier: Apache-2.0 */
/* How felhomd answers a request: CivetWeb has read it, and the listener calls answer_request in
 * a thread of its own. The request is read and checked (http/request), counted against the limits
 * of its source (net/gate), authenticated (http/auth), answered by the handler of its route (api/),
 * sent, and, if it was refused, reported to the operator (http/refusal). A request that waits for
 * an event is handed to events/waiters instead and leaves the thread free. */
#ifndef FELHOM_ANSWER_H
#define FELHOM_ANSWER_H

struct mg_connection; /* CivetWeb's */

/* The listener calls these two; data is the struct context. answer_request answers the request
 * and returns its HTTP status. answer_malformed answers, with this status, a request that CivetWeb
 * could not read. */
int answer_request(struct mg_connection *connection, void *data);
void answer_malformed(struct mg_connection *connection, int status, void *data);

#endif
