/* SPDX-License-Identifier: Apache-2.0 */
/* Three things that keep clients from using up the host: a token bucket; a log that clients can
 * provoke only to a few lines at once and then one line a second; and a lock that guests take in
 * turns. */
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
 * --- the fair lock ---
 *
 * Used around calls to a slow peer, of which there is one at a time. Threads that wait for it wait
 * for a guest, and the guests take turns: the next one is the guest whose last turn is the longest
 * ago, and of several the one that came first. So a guest waits for the turn under way and, if it
 * asks less often than the others do, for no other, however many threads the others have here.
 *
 * Few threads may wait, so that a slow peer never occupies all request threads: an eighth of them
 * for guests, one each, and as many again for further threads of guests that wait already. So a
 * guest with many threads is refused before it costs another guest its place.
 */

#define FAIR_LOCK_GUESTS 64 /* whose last turn is remembered; all others' are longer ago */

struct fair_waiter;

struct fair_lock {
    pthread_mutex_t lock; /* guards the members below */
    bool taken;
    uint64_t turns;              /* how many there have been */
    struct fair_waiter *waiting; /* first come, first */
    struct {
        uint32_t vmid;
        uint64_t turn; /* 0: free */
    } last[FAIR_LOCK_GUESTS];
};

void fair_lock_init(struct fair_lock *lock);
void fair_lock_destroy(struct fair_lock *lock);

/* Acquires the lock for this guest (0: for none), waiting until deadline_us (clock_steady_us) at
 * most. threads: limits.threads. ERROR_BUSY if the time is up or no more may wait. */
int fair_lock_acquire(struct fair_lock *lock, uint32_t vmid, uint32_t threads, int64_t deadline_us,
                      struct error *error);
void fair_lock_release(struct fair_lock *lock);

/* Returns how many threads wait. */
uint32_t fair_lock_waiting(struct fair_lock *lock);

#endif
