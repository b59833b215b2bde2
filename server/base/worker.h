/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A background thread that calls one function (its step) again and again, when the step asks for it
 * or when the worker is woken. The jobs, the hub, the registry and the metrics file have one worker
 * each, because what they do may take long. What failed is tried again after a pause that grows
 * with each failure (worker_backoff).
 */
#ifndef FELHOM_WORKER_H
#define FELHOM_WORKER_H

#include <stdint.h>

#define WORKER_IDLE INT64_MAX

struct worker;

/* Does the work that is due. Returns in how many microseconds it is to be called again at the
 * latest; WORKER_IDLE: not before worker_wake. */
typedef int64_t worker_step(void *context);

/* Starts the thread, which calls step at once. name, at most 15 characters, becomes the name of
 * the thread. Ends with worker_stop. */
struct worker *worker_start(const char *name, worker_step *step, void *context);

/* Ends the thread, after the call of step that is under way, and frees the worker. NULL is
 * allowed. */
void worker_stop(struct worker *worker);

/* Has step called at once; if it is being called now, once more right after that call. Any
 * thread may call this function. */
void worker_wake(struct worker *worker);

/* Returns how long to wait after this many failures in a row (1, 2, ...): first, doubled with
 * each further failure, up to last. The result has the unit of first and last. */
int64_t worker_backoff(uint32_t failures, int64_t first, int64_t last);

/* Does the same, from 30 s up to last_ms, and adds up to an eighth at random, so that hosts that
 * failed together do not all come back at the same moment. */
int64_t worker_backoff_ms(uint32_t failures, int64_t last_ms);

#endif
