/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metrics of felhomd, for Prometheus.
 *
 *   exporter.c    where the text goes, as agent.yaml says: to clients of a listener on the
 *                 loopback, to a file that node_exporter's textfile collector reads, or both
 *   exposition.c  the text itself: the counters of server/base/counters.h, what the store holds,
 *                 and the phases of the hooks, counted from their events in the store
 *
 * This header is for both files.
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

/* Makes an exporter, which does nothing before exporter_apply. context is borrowed, and its gate
 * and waiters must live until exporter_free. These three functions are for the main thread. */
struct exporter *exporter_new(struct context *context);

/* Stops listening and writing, after the replies that are under way, and frees the exporter.
 * NULL is allowed. */
void exporter_free(struct exporter *exporter);

/* Starts and stops the listener and the file as the configuration says. Failures only go to the
 * log, because guests are served without metrics too. */
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

/* Counts of the events that hooks add to the store, since the first look. They are kept here, so
 * that a count does not fall when the store deletes old events. Any thread may call the two
 * functions below. */
struct hook_counters {
    pthread_mutex_t lock; /* guards the members below */
    bool begun;
    int64_t seen; /* the number of the last event that was counted */
    struct hook_phase_counters phases[HOOK_PHASES];
};

#define HOOK_COUNTERS_NEW ((struct hook_counters){.lock = PTHREAD_MUTEX_INITIALIZER})

/* Counts the events that are new since the last call; the first call only notes where to begin.
 * -1 if the store fails. */
int hook_counters_catch_up(struct hook_counters *counters, struct store *store,
                           struct error *error);

/* Adds the families felhom_hook_phases_total and felhom_hook_phase_duration_seconds to out. */
void hook_counters_write(struct hook_counters *counters, struct buffer *out);

/* --- the whole text: exposition.c --- */

struct exposition {
    struct context *context; /* of an agent that was started */
    struct hook_counters hooks;
    int64_t started_ms; /* when felhomd was started, by clock_wall_ms */
};

/* Adds the whole text to out. If the store cannot be read, what it holds is left out, and
 * felhom_store_up is 0. Any thread may call it. */
void exposition_write(struct exposition *exposition, struct buffer *out);

#endif
