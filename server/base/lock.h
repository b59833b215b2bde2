/* SPDX-License-Identifier: Apache-2.0 */
/* A mutex that is held until the end of a scope, and condition variables that are waited for by the
 * steady clock (store/base/clock.h). */
#ifndef FELHOM_LOCK_H
#define FELHOM_LOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#include "schema/base/cleanup.h"
#include "schema/base/units.h"

static inline pthread_mutex_t *lock_take(pthread_mutex_t *mutex)
{
    (void)pthread_mutex_lock(mutex);
    return mutex;
}

static inline void lock_release_fn(pthread_mutex_t **mutex)
{
    (void)pthread_mutex_unlock(*mutex);
}

/* Takes the mutex; it is released on every way out of the scope. Once in each scope. */
#define lock_scope(mutex) \
    cleanup(lock_release_fn) __attribute__((unused)) pthread_mutex_t *lock_of_scope_ = \
        lock_take(mutex)

/* Makes a condition variable whose timed waits are by CLOCK_MONOTONIC. Ends with
 * pthread_cond_destroy. */
static inline void lock_condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(condition, &attributes);
}

/* The time by clock_steady_us as pthread_cond_timedwait takes it. */
static inline struct timespec lock_time(int64_t at_us)
{
    return (struct timespec){at_us / SECOND_US, at_us % SECOND_US * 1000};
}

/* The same for a time from now. */
static inline struct timespec lock_time_in(int64_t wait_us)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return lock_time(now.tv_sec * SECOND_US + now.tv_nsec / 1000 + wait_us);
}

#endif
