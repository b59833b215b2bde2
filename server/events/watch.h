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

struct agent;
struct connection;
struct waiter;
struct watch;

/* Ends with watch_stop. The agent's jobs, hub and registry must be set (or NULL) by then, and stay
 * until its end. */
int watch_start(struct agent *agent, struct watch **ret, struct error *error);

/* Answers all that wait. NULL is fine. */
void watch_stop(struct watch *watch);

/* Has the connection wait here; its worker is done with it. False where no more may wait, or there
 * is no watch: the answer is the caller's to give. */
bool watch_take(struct watch *watch, struct connection *connection, const struct waiter *waiter);

/* How many wait now, or are being answered after it. NULL is fine. */
uint32_t watch_waiting(struct watch *watch);

/* Answers all that wait and takes no more until watch_admit: a listener is about to end, and with
 * it what their TLS sessions use. Returns when they are gone. NULL is fine in both. */
void watch_dismiss(struct watch *watch);
void watch_admit(struct watch *watch);

#endif
