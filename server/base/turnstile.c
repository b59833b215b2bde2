/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/turnstile.h"

#include <time.h>

#define WAITING_MAX 8

void turnstile_init(struct turnstile *turnstile)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&turnstile->left, &attributes);
    (void)pthread_mutex_init(&turnstile->lock, NULL);
    turnstile->taken = false;
    turnstile->waiting = 0;
}

void turnstile_destroy(struct turnstile *turnstile)
{
    (void)pthread_cond_destroy(&turnstile->left);
    (void)pthread_mutex_destroy(&turnstile->lock);
}

/* With the lock held. */
static bool wait_for_turn(struct turnstile *turnstile, int64_t deadline_us)
{
    const struct timespec end = {deadline_us / 1000000, deadline_us % 1000000 * 1000};
    turnstile->waiting++;
    while (turnstile->taken &&
           pthread_cond_timedwait(&turnstile->left, &turnstile->lock, &end) == 0)
        ;
    turnstile->waiting--;
    return !turnstile->taken;
}

int turnstile_enter(struct turnstile *turnstile, int64_t deadline_us, struct error *error)
{
    (void)pthread_mutex_lock(&turnstile->lock);
    bool entered = !turnstile->taken ||
                   (turnstile->waiting < WAITING_MAX && wait_for_turn(turnstile, deadline_us));
    if (entered)
        turnstile->taken = true;
    (void)pthread_mutex_unlock(&turnstile->lock);
    return entered ? 0 : fail(error, ERROR_BUSY, "too many requests wait for the same answer");
}

void turnstile_leave(struct turnstile *turnstile)
{
    (void)pthread_mutex_lock(&turnstile->lock);
    turnstile->taken = false;
    (void)pthread_cond_signal(&turnstile->left);
    (void)pthread_mutex_unlock(&turnstile->lock);
}
