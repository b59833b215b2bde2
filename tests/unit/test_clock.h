/* SPDX-License-Identifier: Apache-2.0 */
/* A clock under the test's control, so that no test depends on the machine's speed: the linker
 * takes the steady clock and the waiting functions that are defined here before it searches the
 * archives and the C library. Unless told otherwise the clock runs normally. */
#ifndef FELHOM_TEST_CLOCK_H
#define FELHOM_TEST_CLOCK_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

#include "store/base/clock.h"

#define CLOCK_HURRY    10000 /* how much faster than any clock it goes in a hurry */
#define CLOCK_SLICE_NS 2000000
#define CLOCK_LONG_MS  10000 /* a wait of at least that long ends at a deadline */

static struct {
    pthread_mutex_t lock;
    int rate;                   /* 0: it stands */
    int64_t shown_us, since_us; /* what it showed at that time */
    unsigned changes;           /* how often rate was set or time was skipped */
    int waiting;                /* threads in a long wait that have seen the last change */
    atomic_int waits;           /* how often somebody has begun to wait for long */
    atomic_bool hurries;        /* from when this thread waits for something to read */
    pthread_t hurried;
} test_clock = {.lock = PTHREAD_MUTEX_INITIALIZER, .rate = 1, .changes = 1};

/* The real time, which tests cannot change; for giving up. */
static inline int64_t clock_real_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static inline int64_t clock_shown_us(void)
{
    return test_clock.shown_us + (clock_real_us() - test_clock.since_us) * test_clock.rate;
}

int64_t clock_steady_us(void)
{
    (void)pthread_mutex_lock(&test_clock.lock);
    int64_t now_us = clock_shown_us();
    (void)pthread_mutex_unlock(&test_clock.lock);
    return now_us;
}

/* As far ahead of the real clock as the steady clock is. */
int64_t clock_wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    int64_t ahead_us = clock_steady_us() - clock_real_us();
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + ahead_us / 1000;
}

static inline void clock_change(int rate, int64_t skip_us)
{
    (void)pthread_mutex_lock(&test_clock.lock);
    test_clock.shown_us = clock_shown_us() + skip_us;
    test_clock.since_us = clock_real_us();
    test_clock.rate = rate;
    test_clock.changes++;
    test_clock.waiting = 0;
    (void)pthread_mutex_unlock(&test_clock.lock);
}

/* No deadline passes while the clock stands still, however slow the machine is. */
static inline void clock_stand(void)
{
    clock_change(0, 0);
}

static inline void clock_go(void)
{
    clock_change(1, 0);
}

/* Lets hours pass at once. */
static inline void clock_hurry(void)
{
    clock_change(CLOCK_HURRY, 0);
}

/* The same as soon as this thread waits for something to read. */
static inline void clock_hurry_at_read(void)
{
    test_clock.hurried = pthread_self();
    atomic_store(&test_clock.hurries, true);
}

static inline void clock_skip_ms(int64_t ms)
{
    clock_change(test_clock.rate, ms * 1000);
}

/* Returns how many threads are in a long wait and have looked at the clock since its last change.
 */
static inline int clock_waiting(void)
{
    (void)pthread_mutex_lock(&test_clock.lock);
    int waiting = test_clock.waiting;
    (void)pthread_mutex_unlock(&test_clock.lock);
    return waiting;
}

struct clock_wait {
    int64_t end_us;
    bool is_long;
    unsigned seen;         /* the last change of the clock that it has seen; 0: none */
    bool on;               /* the end is not reached */
    struct timespec slice; /* of real time, to wait for */
};

static inline void clock_note_wait(short events, int timeout_ms)
{
    if (timeout_ms >= CLOCK_LONG_MS)
        atomic_fetch_add(&test_clock.waits, 1);
    if (events == POLLIN && atomic_load(&test_clock.hurries) &&
        pthread_equal(test_clock.hurried, pthread_self())) {
        atomic_store(&test_clock.hurries, false);
        clock_hurry();
    }
}

static inline struct clock_wait clock_wait_begin(int timeout_ms)
{
    return (struct clock_wait){
        .end_us = clock_steady_us() + (int64_t)timeout_ms * 1000,
        .is_long = timeout_ms >= CLOCK_LONG_MS,
    };
}

/* Call before each slice of a wait. */
static inline void clock_wait_look(struct clock_wait *wait)
{
    (void)pthread_mutex_lock(&test_clock.lock);
    wait->on = clock_shown_us() < wait->end_us;
    if (wait->is_long && wait->on && wait->seen != test_clock.changes) {
        wait->seen = test_clock.changes;
        test_clock.waiting++;
    }
    (void)pthread_mutex_unlock(&test_clock.lock);
    wait->slice = (struct timespec){0, wait->on ? CLOCK_SLICE_NS : 0};
}

/* Call after each slice, with what came in it; true once the wait is over. */
static inline bool clock_wait_is_over(const struct clock_wait *wait, int ready)
{
    if (ready == 0 && wait->on)
        return false;
    (void)pthread_mutex_lock(&test_clock.lock);
    test_clock.waiting -= wait->seen == test_clock.changes;
    (void)pthread_mutex_unlock(&test_clock.lock);
    return true;
}

int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    struct clock_wait wait = clock_wait_begin(timeout_ms);
    clock_note_wait(count > 0 ? fds[0].events : 0, timeout_ms);
    if (timeout_ms < 0)
        return ppoll(fds, count, NULL, NULL);
    for (;;) {
        clock_wait_look(&wait);
        int ready = ppoll(fds, count, &wait.slice, NULL);
        if (clock_wait_is_over(&wait, ready))
            return ready;
    }
}

int epoll_wait(int fd, struct epoll_event *events, int count, int timeout_ms)
{
    struct clock_wait wait = clock_wait_begin(timeout_ms);
    clock_note_wait(0, timeout_ms);
    if (timeout_ms < 0)
        return epoll_pwait(fd, events, count, -1, NULL);
    for (;;) {
        struct pollfd polled = {.fd = fd, .events = POLLIN};
        clock_wait_look(&wait);
        int ready = ppoll(&polled, 1, &wait.slice, NULL);
        if (ready >= 0)
            ready = epoll_pwait(fd, events, count, 0, NULL);
        if (clock_wait_is_over(&wait, ready))
            return ready;
    }
}

#endif
