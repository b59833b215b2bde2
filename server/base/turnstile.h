/* SPDX-License-Identifier: Apache-2.0 */
/* Lets one request at a time through to something slow, and only a few wait for it, so that it
 * never takes all the threads. */
#ifndef FELHOM_TURNSTILE_H
#define FELHOM_TURNSTILE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/base/cleanup.h"
#include "schema/base/error.h"

struct turnstile {
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t left;
    bool taken;
    uint32_t waiting;
};

void turnstile_init(struct turnstile *turnstile);
void turnstile_destroy(struct turnstile *turnstile);

/* Waits until deadline_us (clock_steady_us) at the longest; ERROR_BUSY then, or where too many wait
 * already. */
int turnstile_enter(struct turnstile *turnstile, int64_t deadline_us, struct error *error);
void turnstile_leave(struct turnstile *turnstile);

#endif
