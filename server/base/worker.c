/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "server/base/lock.h"

#define BACKOFF_FIRST_MS (30 * SECOND_MS)
#define DOUBLINGS_MAX    20

/* Returns a random number from 0 to bound; 0 if the kernel has no random numbers yet, as that is
 * no reason to fail. */
static int64_t backoff_jitter(int64_t bound)
{
    uint64_t number = 0;
    (void)!getrandom(&number, sizeof number, GRND_NONBLOCK);
    return (int64_t)(number % (uint64_t)(bound + 1));
}

int64_t worker_backoff(uint32_t failures, int64_t first, int64_t last)
{
    const uint32_t doublings = failures > 0 ? failures - 1 : 0;
    const int64_t wait = first << (doublings < DOUBLINGS_MAX ? doublings : DOUBLINGS_MAX);
    return wait < last ? wait : last;
}

int64_t worker_backoff_ms(uint32_t failures, int64_t last_ms)
{
    const int64_t wait_ms = worker_backoff(failures, BACKOFF_FIRST_MS, last_ms);
    return wait_ms + backoff_jitter(wait_ms / 8);
}

struct worker {
    worker_step *step;
    void *context;
    atomic_bool stopping;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the members below */
    pthread_cond_t changed;
    bool woken;
};

static void worker_sleep(struct worker *worker, int64_t wait_us)
{
    int late = 0;
    const bool is_idle = wait_us > INT64_MAX / 2; /* WORKER_IDLE, or as good as that */
    const struct timespec end = lock_time_in(is_idle || wait_us < 0 ? 0 : wait_us);
    lock_scope(&worker->lock);
    while (!worker->woken && !late) {
        if (is_idle)
            (void)pthread_cond_wait(&worker->changed, &worker->lock);
        else
            late = pthread_cond_timedwait(&worker->changed, &worker->lock, &end);
    }
    worker->woken = false;
}

static void *worker_run(void *context)
{
    struct worker *worker = context;
    while (!atomic_load(&worker->stopping))
        worker_sleep(worker, worker->step(worker->context));
    return NULL;
}

struct worker *worker_start(const char *name, worker_step *step, void *context)
{
    struct worker *worker = mem_new(struct worker);
    worker->step = step;
    worker->context = context;
    atomic_init(&worker->stopping, false);
    lock_condition_init(&worker->changed);
    (void)pthread_mutex_init(&worker->lock, NULL);
    if (pthread_create(&worker->thread, NULL, worker_run, worker) != 0)
        mem_exhausted();
    (void)pthread_setname_np(worker->thread, name);
    return worker;
}

void worker_wake(struct worker *worker)
{
    lock_scope(&worker->lock);
    worker->woken = true;
    (void)pthread_cond_signal(&worker->changed);
}

void worker_stop(struct worker *worker)
{
    if (!worker)
        return;
    atomic_store(&worker->stopping, true);
    worker_wake(worker);
    (void)pthread_join(worker->thread, NULL);
    (void)pthread_cond_destroy(&worker->changed);
    (void)pthread_mutex_destroy(&worker->lock);
    free(worker);
}
