/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that does one thing now and then: for dealings with the world beyond the host, which may
 * take their time. */
#ifndef FELHOM_WORKER_H
#define FELHOM_WORKER_H

#include <stdatomic.h>
#include <stdint.h>

#define WORKER_IDLE INT64_MAX

struct worker;

/* Does what is to be done now. Returns after how many microseconds it wants to be called again at
 * the latest; WORKER_IDLE: not before it is woken. */
typedef int64_t worker_step(void *context);

/* Starts the thread, which takes its first step at once. name: at most 15 characters. Ends with
 * worker_stop. */
struct worker *worker_start(const char *name, worker_step *step, void *context);

/* Waits for the step under way. NULL is fine. */
void worker_stop(struct worker *worker);

/* Has the next step come at once; during a step: right after it. From any thread. */
void worker_wake(struct worker *worker);

/* Becomes true when the worker is told to stop: for http_client_new. Lives as long as the worker.
 */
const atomic_bool *worker_stopping(const struct worker *worker);

/* How long to leave a service alone that did not answer as it should. */

/* After so many failures in a row (1, ...): 30 s, doubled each time, up to limit_ms; and up to an
 * eighth more, so that hosts that failed together do not come back together. */
int64_t backoff_ms(uint32_t failures, int64_t limit_ms);

#endif
