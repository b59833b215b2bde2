/* SPDX-License-Identifier: Apache-2.0 */
/* Three things that keep clients from using up the host: a token bucket; a log that clients can
 * provoke only to a few lines at once and then one line a second; and a lock for which only a few
 * threads may wait. */
#ifndef FELHOM_LIMITER_H
#define FELHOM_LIMITER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/base/cleanup.h"
#include "schema/base/error.h"

/*
 * --- the token bucket ---
 *
 * It holds up to burst tokens and gains one in every interval. Its only state is the moment at
 * which it will be full again, so a zeroed bucket is a full one. The caller passes the time, in
 * microseconds of a clock that never goes back, and guards the bucket against other threads.
 */

struct bucket {
    int64_t full_at_us;
};

struct bucket_rate {
    int64_t interval_us;
    int64_t burst;
};

/* Returns the rate of count tokens in each period_us, of which up to burst may be taken at once.
 * A count or burst below one is taken as one. */
struct bucket_rate bucket_rate(uint32_t count, int64_t period_us, int64_t burst);

/* Returns 0 if the bucket has a token, else in how many microseconds it will have one. */
int64_t bucket_wait(const struct bucket *bucket, const struct bucket_rate *rate, int64_t now_us);

/* Does the same as bucket_wait, and takes the token if the bucket has one. */
int64_t bucket_take(struct bucket *bucket, const struct bucket_rate *rate, int64_t now_us);

/* --- the rate-limited log --- */

struct throttled_log {
    pthread_mutex_t lock;
    struct bucket lines;
    uint32_t left_out;
};

#define THROTTLED_LOG_NEW ((struct throttled_log){.lock = PTHREAD_MUTEX_INITIALIZER})

/* Logs the line as log_line does, unless too many were logged lately. The next line that is
 * logged says how many lines were left out. Any thread may call this function and the next. */
void throttled_log_line(struct throttled_log *log, int priority, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Logs the line as log_guest does, under the same limit. */
void throttled_log_guest(struct throttled_log *log, int priority, uint32_t vmid, const char *event,
                         const char *format, ...) __attribute__((format(printf, 5, 6)));

/*
 * --- the bounded lock ---
 *
 * One thread at a time holds it, and at most eight wait for it: used around calls that may be slow,
 * so that a slow peer never occupies all request threads.
 */

struct bounded_lock {
    pthread_mutex_t lock; /* guards the members below */
    pthread_cond_t left;
    bool taken;
    uint32_t waiting;
};

void bounded_lock_init(struct bounded_lock *lock);
void bounded_lock_destroy(struct bounded_lock *lock);

/* Acquires the lock, waiting until deadline_us (clock_steady_us) at most. ERROR_BUSY if the time
 * is up or eight threads wait already. */
int bounded_lock_acquire(struct bounded_lock *lock, int64_t deadline_us, struct error *error);
void bounded_lock_release(struct bounded_lock *lock);

#endif
