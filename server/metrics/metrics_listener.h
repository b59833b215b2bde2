/* SPDX-License-Identifier: Apache-2.0 */
/* Where Prometheus asks: plain HTTP on an address of the loopback, GET /metrics and nothing else. A
 * CivetWeb server of its own, so that nobody who asks it takes a thread from a guest. */
#ifndef FELHOM_METRICS_LISTENER_H
#define FELHOM_METRICS_LISTENER_H

#include <netinet/in.h>

#include "schema/base/error.h"
#include "server/metrics/exposition.h"

struct metrics_listener;

/* exposition is borrowed. Ends with metrics_listener_stop. */
int metrics_listener_start(const struct sockaddr_in *address, const struct exposition *exposition,
                           struct metrics_listener **ret, struct error *error);

/* Waits for the answers under way. NULL is fine. */
void metrics_listener_stop(struct metrics_listener *listener);

#endif
