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

/* --- the fair lock --- */

/* A thread that waits; on its own stack. */
struct fair_waiter {
    struct fair_waiter *next;
    uint32_t vmid;
    bool has_turn; /* it holds the lock now */
    pthread_cond_t turn;
};

void fair_lock_init(struct fair_lock *lock)
{
    *lock = (struct fair_lock){.taken = false};
    (void)pthread_mutex_init(&lock->lock, NULL);
}

void fair_lock_destroy(struct fair_lock *lock)
{
    (void)pthread_mutex_destroy(&lock->lock);
}

static uint64_t fair_last_turn(const struct fair_lock *lock, uint32_t vmid)
{
    for (size_t i = 0; i < FAIR_LOCK_GUESTS; i++)
        if (lock->last[i].turn > 0 && lock->last[i].vmid == vmid)
            return lock->last[i].turn;
    return 0;
}

/* Notes that it is this guest's turn, in place of the guest whose turn is the longest ago. */
static void fair_note_turn(struct fair_lock *lock, uint32_t vmid)
{
    size_t place = 0;
    for (size_t i = 0; i < FAIR_LOCK_GUESTS; i++) {
        if (lock->last[i].turn > 0 && lock->last[i].vmid == vmid) {
            place = i;
            break;
        }
        if (lock->last[i].turn < lock->last[place].turn)
            place = i;
    }
    lock->last[place].vmid = vmid;
    lock->last[place].turn = ++lock->turns;
}

/* True if another thread may wait for this guest. */
static bool fair_has_place(const struct fair_lock *lock, uint32_t vmid, uint32_t threads)
{
    const uint32_t places = threads >= 8 ? threads / 8 : 1;
    uint32_t guests = 0;
    uint32_t further = 0;
    bool waits = false;
    for (const struct fair_waiter *one = lock->waiting; one; one = one->next) {
        const struct fair_waiter *first = lock->waiting;
        while (first->vmid != one->vmid)
            first = first->next;
        guests += first == one;
        further += first != one;
        waits |= one->vmid == vmid;
    }
    return waits ? further < places : guests < places;
}

static void fair_leave(struct fair_lock *lock, const struct fair_waiter *waiter)
{
    struct fair_waiter **link = &lock->waiting;
    while (*link != waiter)
        link = &(*link)->next;
    *link = waiter->next;
}

/* The caller holds lock->lock. True if the caller has the lock then. */
static bool fair_wait(struct fair_lock *lock, uint32_t vmid, int64_t deadline_us)
{
    const struct timespec end = lock_time(deadline_us);
    struct fair_waiter waiter = {.vmid = vmid};
    struct fair_waiter **link = &lock->waiting;
    lock_condition_init(&waiter.turn);
    while (*link)
        link = &(*link)->next;
    *link = &waiter;
    while (!waiter.has_turn && pthread_cond_timedwait(&waiter.turn, &lock->lock, &end) == 0)
        ;
    if (!waiter.has_turn)
        fair_leave(lock, &waiter);
    (void)pthread_cond_destroy(&waiter.turn);
    return waiter.has_turn;
}

int fair_lock_acquire(struct fair_lock *lock, uint32_t vmid, uint32_t threads, int64_t deadline_us,
                      struct error *error)
{
    lock_scope(&lock->lock);
    if (!lock->taken) {
        lock->taken = true;
        fair_note_turn(lock, vmid);
        return 0;
    }
    if (fair_has_place(lock, vmid, threads) && fair_wait(lock, vmid, deadline_us))
        return 0;
    return fail(error, ERROR_BUSY, "too many requests wait for the same answer");
}

void fair_lock_release(struct fair_lock *lock)
{
    lock_scope(&lock->lock);
    struct fair_waiter *next = lock->waiting;
    for (struct fair_waiter *waiter = next; waiter; waiter = waiter->next)
        if (fair_last_turn(lock, waiter->vmid) < fair_last_turn(lock, next->vmid))
            next = waiter;
    lock->taken = next != NULL;
    if (!next)
        return;
    fair_leave(lock, next);
    fair_note_turn(lock, next->vmid);
    next->has_turn = true;
    (void)pthread_cond_signal(&next->turn);
}

uint32_t fair_lock_waiting(struct fair_lock *lock)
{
    uint32_t count = 0;
    lock_scope(&lock->lock);
    for (const struct fair_waiter *waiter = lock->waiting; waiter; waiter = waiter->next)
        count++;
    return count;
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
