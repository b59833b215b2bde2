/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that wait for an event. A waiting connection is taken from its worker thread and parked
 * here with all others under one thread, which answers and closes it once an event of its guest was
 * committed or its time is up. That thread also hears the nudges (store/base/nudge.h) and passes
 * them on to the workers that leave the host.
 */
#ifndef FELHOM_WATCH_H
#define FELHOM_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/base/error.h"

struct context;
struct connection;
struct waiter;
struct waiters;

/* Ends with waiters_stop. The agent's jobs, hub and registry must be set (or NULL) by then, and
 * stay until its end. */
int waiters_start(struct context *context, struct waiters **ret, struct error *error);

/* Answers all that wait. NULL is fine. */
void waiters_stop(struct waiters *waiters);

/* Has the connection wait here; its worker is done with it. False where no more may wait, or there
 * is no watch: the answer is the caller's to give. */
bool waiters_add(struct waiters *waiters, struct connection *connection,
                 const struct waiter *waiter);

/* How many wait now, or are being answered after it. NULL is fine. */
uint32_t waiters_count(struct waiters *waiters);

/* Answers all that wait and takes no more until waiters_resume: a listener is about to end, and
 * with it what their TLS sessions use. Returns when they are gone. NULL is fine in both. */
void waiters_pause(struct waiters *waiters);
void waiters_resume(struct waiters *waiters);

#endif
