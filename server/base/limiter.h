/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines that clients can provoke: a few at once, then one a second, with the number of those
 * that were left out. */
#ifndef FELHOM_THROTTLED_LOG_H
#define FELHOM_THROTTLED_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/base/cleanup.h"
#include "schema/base/error.h"

/*
 * A token bucket: holds burst tokens and gains one in every interval. It is kept as the one moment
 * at which it will be full again, so that a zeroed bucket is a full one. Time is the caller's,
 * microseconds of a clock that only goes forward.
 */

struct bucket {
    int64_t full_at_us;
};

struct bucket_rate {
    int64_t interval_us;
    int64_t burst;
};

/* count tokens in period_us, and as many as burst of them at once. Neither is less than one. */
struct bucket_rate bucket_rate(uint32_t count, int64_t period_us, int64_t burst);

/* 0 while a token is there, else in how many microseconds one will be. */
int64_t bucket_wait(const struct bucket *bucket, const struct bucket_rate *rate, int64_t now_us);

/* The same, and takes the token if it is there. */
int64_t bucket_take(struct bucket *bucket, const struct bucket_rate *rate, int64_t now_us);

struct throttled_log {
    pthread_mutex_t lock;
    struct bucket lines;
    uint32_t left_out;
};

#define THROTTLED_LOG_NEW ((struct throttled_log){.lock = PTHREAD_MUTEX_INITIALIZER})

/* log_line(), if it is time for one. */
void throttled_log_line(struct throttled_log *log, int priority, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* log_guest(), if it is time for one. */
void throttled_log_guest(struct throttled_log *log, int priority, uint32_t vmid, const char *event,
                         const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Lets one request at a time through to something slow, and only a few wait for it, so that it
 * never takes all the threads. */

struct bounded_lock {
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t left;
    bool taken;
    uint32_t waiting;
};

void bounded_lock_init(struct bounded_lock *lock);
void bounded_lock_destroy(struct bounded_lock *lock);

/* Waits until deadline_us (clock_steady_us) at the longest; ERROR_BUSY then, or where too many wait
 * already. */
int bounded_lock_acquire(struct bounded_lock *lock, int64_t deadline_us, struct error *error);
void bounded_lock_release(struct bounded_lock *lock);

#endif
