/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hooks' phases, counted from the events that they leave in the store: those that came after
 * the first look, so that what the store forgets takes nothing away. Safe to use from many threads.
 */
#ifndef FELHOM_HOOK_TALLY_H
#define FELHOM_HOOK_TALLY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/base/buffer.h"
#include "store/db/store.h"

#define HOOK_TALLY_PHASES   4
#define HOOK_TALLY_OUTCOMES 3
#define HOOK_TALLY_BOUNDS   9

struct hook_tally_phase {
    uint64_t outcomes[HOOK_TALLY_OUTCOMES];
    uint64_t durations[HOOK_TALLY_BOUNDS + 1];
    int64_t sum_us;
};

struct hook_tally {
    pthread_mutex_t lock; /* of what follows */
    bool begun;
    int64_t seen; /* the last event that was looked at */
    struct hook_tally_phase phases[HOOK_TALLY_PHASES];
};

#define HOOK_TALLY_NEW ((struct hook_tally){.lock = PTHREAD_MUTEX_INITIALIZER})

/* Counts what is new; the first time it takes note of where to begin. */
int hook_tally_catch_up(struct hook_tally *tally, struct store *store, struct error *error);

/* Adds felhom_hook_phases_total and felhom_hook_phase_duration_seconds. */
void hook_tally_describe(struct hook_tally *tally, struct buffer *out);

#endif
