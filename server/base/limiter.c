/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/limiter.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "schema/base/units.h"
#include "server/base/lock.h"
#include "store/base/clock.h"
#include "store/base/log.h"

/* --- the token bucket --- */

struct bucket_rate bucket_rate(uint32_t count, int64_t period_us, int64_t burst)
{
    return (struct bucket_rate){
        .interval_us = period_us / (count > 0 ? count : 1),
        .burst = burst > 0 ? burst : 1,
    };
}

int64_t bucket_wait(const struct bucket *bucket, const struct bucket_rate *rate, int64_t now_us)
{
    int64_t token_at_us = bucket->full_at_us - (rate->burst - 1) * rate->interval_us;
    return token_at_us > now_us ? token_at_us - now_us : 0;
}

int64_t bucket_take(struct bucket *bucket, const struct bucket_rate *rate, int64_t now_us)
{
    int64_t wait_us = bucket_wait(bucket, rate, now_us);
    if (wait_us == 0) {
        int64_t base_us = bucket->full_at_us > now_us ? bucket->full_at_us : now_us;
        bucket->full_at_us = base_us + rate->interval_us;
    }
    return wait_us;
}

/* --- the bounded lock --- */

#define WAITING_MAX 8

void bounded_lock_init(struct bounded_lock *lock)
{
    lock_condition_init(&lock->left);
    (void)pthread_mutex_init(&lock->lock, NULL);
    lock->taken = false;
    lock->waiting = 0;
}

void bounded_lock_destroy(struct bounded_lock *lock)
{
    (void)pthread_cond_destroy(&lock->left);
    (void)pthread_mutex_destroy(&lock->lock);
}

/* The caller holds lock->lock. True if nobody holds the bounded lock any more. */
static bool bounded_lock_wait(struct bounded_lock *lock, int64_t deadline_us)
{
    const struct timespec end = lock_time(deadline_us);
    lock->waiting++;
    while (lock->taken && pthread_cond_timedwait(&lock->left, &lock->lock, &end) == 0)
        ;
    lock->waiting--;
    return !lock->taken;
}

int bounded_lock_acquire(struct bounded_lock *lock, int64_t deadline_us, struct error *error)
{
    lock_scope(&lock->lock);
    if (lock->taken && (lock->waiting >= WAITING_MAX || !bounded_lock_wait(lock, deadline_us)))
        return fail(error, ERROR_BUSY, "too many requests wait for the same answer");
    lock->taken = true;
    return 0;
}

void bounded_lock_release(struct bounded_lock *lock)
{
    lock_scope(&lock->lock);
    lock->taken = false;
    (void)pthread_cond_signal(&lock->left);
}

/* --- the rate-limited log --- */

#define BURST 10

/* True if a line may be logged now. *ret_left_out becomes the number of lines that were left out
 * before it. */
static bool throttled_log_take_line(struct throttled_log *log, uint32_t *ret_left_out)
{
    const struct bucket_rate rate = bucket_rate(1, SECOND_US, BURST);
    lock_scope(&log->lock);
    bool taken = bucket_take(&log->lines, &rate, clock_steady_us()) == 0;
    *ret_left_out = log->left_out;
    log->left_out = taken ? 0 : log->left_out + 1;
    return taken;
}

/* Which guest a log entry is about, and which event. */
struct log_subject {
    uint32_t vmid;
    const char *event;
};

__attribute__((format(printf, 4, 0))) static void
throttled_log_write(struct throttled_log *log, int priority, struct log_subject subject,
                    const char *format, va_list arguments)
{
    char line[512];
    uint32_t left_out;
    if (!throttled_log_take_line(log, &left_out))
        return;
    (void)vsnprintf(line, sizeof(line), format, arguments);
    if (left_out > 0)
        log_guest(priority, subject.vmid, subject.event,
                  "%s (%u lines before this one were left out)", line, left_out);
    else
        log_guest(priority, subject.vmid, subject.event, "%s", line);
}

void throttled_log_line(struct throttled_log *log, int priority, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    throttled_log_write(log, priority, (struct log_subject){0}, format, arguments);
    va_end(arguments);
}

void throttled_log_guest(struct throttled_log *log, int priority, uint32_t vmid, const char *event,
                         const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    throttled_log_write(log, priority, (struct log_subject){vmid, event}, format, arguments);
    va_end(arguments);
}
