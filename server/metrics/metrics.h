/* SPDX-License-Identifier: Apache-2.0 */
/*
 * felhomd's metrics for Prometheus.
 *
 *   exporter.c    where they go, by agent.yaml: a listener of their own on the loopback, a file
 * that node_exporter's textfile collector reads, both, or nowhere exposition.c  what they say: the
 * counters of server/base/counters.h, what the store holds, and the hooks' phases, counted from
 * their events in the store
 */
#ifndef FELHOM_METRICS_H
#define FELHOM_METRICS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"

struct context;
struct exporter;
struct store;

/* --- exporter.c --- */

/* Idle until exporter_apply. The context's gate and waiters must outlive it. Ends with
 * exporter_free. */
struct exporter *exporter_new(struct context *context);

/* Waits for the answers under way. NULL is fine. */
void exporter_free(struct exporter *exporter);

/* Puts the configuration in force. Guests are served whether that succeeds or not, so a failure
 * goes to the log and no further. */
void exporter_apply(struct exporter *exporter, const struct config *config);

/* --- the hooks' phases: exposition.c --- */

#define HOOK_PHASES   4
#define HOOK_OUTCOMES 3
#define HOOK_BOUNDS   9

struct hook_phase_counters {
    uint64_t outcomes[HOOK_OUTCOMES];
    uint64_t durations[HOOK_BOUNDS + 1];
    int64_t sum_us;
};

/* Counted from the events that hooks leave in the store: those that came after the first look, so
 * that what the store deletes takes nothing away. Safe to use from many threads. */
struct hook_counters {
    pthread_mutex_t lock; /* of what follows */
    bool begun;
    int64_t seen; /* the last event that was looked at */
    struct hook_phase_counters phases[HOOK_PHASES];
};

#define HOOK_COUNTERS_NEW ((struct hook_counters){.lock = PTHREAD_MUTEX_INITIALIZER})

/* Counts the events that are new; the first time it only notes where to begin. */
int hook_counters_catch_up(struct hook_counters *counters, struct store *store,
                           struct error *error);

/* Adds felhom_hook_phases_total and felhom_hook_phase_duration_seconds. */
void hook_counters_write(struct hook_counters *counters, struct buffer *out);

/* --- the whole text: exposition.c --- */

struct exposition {
    struct context *context; /* of a daemon that was started */
    struct hook_counters hooks;
    int64_t started_ms; /* when felhomd was, by clock_wall_ms */
};

/* Adds the text. Where the store cannot be read, what it holds is left out, and felhom_store_up is
 * 0. From any thread. */
void exposition_write(struct exposition *exposition, struct buffer *out);

#endif
