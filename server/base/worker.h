/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that does one thing now and then, for dealings with the world beyond the host, which may
 * take their time: the jobs, the hub, the registry and the metrics file have one each. What fails
 * is tried again after a pause that grows (worker_backoff).
 */
#ifndef FELHOM_WORKER_H
#define FELHOM_WORKER_H

#include <stdatomic.h>
#include <stdint.h>

#define WORKER_IDLE INT64_MAX

struct worker;

/* Does what is to be done now. Returns in how many microseconds it is to be called again at the
 * latest; WORKER_IDLE: not before worker_wake. */
typedef int64_t worker_step(void *context);

/* Starts the thread, which calls step at once. name: at most 15 characters. Ends with worker_stop.
 */
struct worker *worker_start(const char *name, worker_step *step, void *context);

/* Waits for the call of step under way. NULL is fine. */
void worker_stop(struct worker *worker);

/* Has step called at once; during a call: once more right after it. From any thread. */
void worker_wake(struct worker *worker);

/* Becomes true when the worker is told to stop: for http_client_new. Lives as long as the worker.
 */
const atomic_bool *worker_stopping(const struct worker *worker);

/* How long to leave a service alone that has failed so many times in a row (1, ...): first, doubled
 * with each failure, up to last. In the unit that first and last have. */
int64_t worker_backoff(uint32_t failures, int64_t first, int64_t last);

/* The same from 30 s up to last_ms, and up to an eighth more, so that hosts that failed together do
 * not come back together. */
int64_t worker_backoff_ms(uint32_t failures, int64_t last_ms);

#endif
