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

static struct {
    pthread_mutex_t lock;
    int rate;                   /* 0: it stands */
    int64_t shown_us, since_us; /* what it showed at that time */
    atomic_int waits;           /* how often somebody has begun to wait for long */
    atomic_bool hurries;        /* from when this thread waits for something to read */
    pthread_t hurried;
} test_clock = {.lock = PTHREAD_MUTEX_INITIALIZER, .rate = 1};

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

static inline void clock_note_wait(short events, int timeout_ms)
{
    if (timeout_ms > 60000)
        atomic_fetch_add(&test_clock.waits, 1);
    if (events == POLLIN && atomic_load(&test_clock.hurries) &&
        pthread_equal(test_clock.hurried, pthread_self())) {
        atomic_store(&test_clock.hurries, false);
        clock_hurry();
    }
}

/* Waits a moment of real time; returns false once a wait of timeout_ms that was to end by end_us is
 * over. */
static inline bool clock_wait_on(int timeout_ms, int64_t end_us, struct timespec *ret_slice)
{
    bool on = timeout_ms > 0 && clock_steady_us() < end_us;
    *ret_slice = (struct timespec){0, on ? CLOCK_SLICE_NS : 0};
    return on;
}

int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    struct timespec slice;
    int64_t end_us = clock_steady_us() + (int64_t)timeout_ms * 1000;
    clock_note_wait(count > 0 ? fds[0].events : 0, timeout_ms);
    if (timeout_ms < 0)
        return ppoll(fds, count, NULL, NULL);
    for (;;) {
        bool on = clock_wait_on(timeout_ms, end_us, &slice);
        int ready = ppoll(fds, count, &slice, NULL);
        if (ready != 0 || !on)
            return ready;
    }
}

int epoll_wait(int fd, struct epoll_event *events, int count, int timeout_ms)
{
    struct timespec slice;
    int64_t end_us = clock_steady_us() + (int64_t)timeout_ms * 1000;
    clock_note_wait(0, timeout_ms);
    if (timeout_ms < 0)
        return epoll_pwait(fd, events, count, -1, NULL);
    for (;;) {
        struct pollfd polled = {.fd = fd, .events = POLLIN};
        bool on = clock_wait_on(timeout_ms, end_us, &slice);
        if (ppoll(&polled, 1, &slice, NULL) < 0)
            return -1;
        int ready = epoll_pwait(fd, events, count, 0, NULL);
        if (ready != 0 || !on)
            return ready;
    }
}

#endif
