/* SPDX-License-Identifier: Apache-2.0 */
#include "server/metrics/hook_tally.h"

#include <string.h>

#include "schema/agent/metrics_text.h"
#include "store/tables/event.h"

#define BATCH 1000

#define COUNT_NAME    "felhom_hook_phases_total"
#define DURATION_NAME "felhom_hook_phase_duration_seconds"

static const char *const phases[] = {"pre-start", "post-start", "pre-stop", "post-stop"};
static const char *const outcomes[] = {"ok", "warning", "error"};
static const int64_t bounds_us[] = {2500,   5000,   10000,   25000,  50000,
                                    100000, 500000, 1000000, 5000000};

_Static_assert(ARRAY_SIZE(phases) == HOOK_TALLY_PHASES, "counts for each");
_Static_assert(ARRAY_SIZE(outcomes) == HOOK_TALLY_OUTCOMES, "a count for each");
_Static_assert(ARRAY_SIZE(bounds_us) == HOOK_TALLY_BOUNDS, "a count for each");

/* count where it is none of them. */
static size_t index_of(const char *text, const char *const *names, size_t count)
{
    size_t index = 0;
    while (index < count && strcmp(names[index], text) != 0)
        index++;
    return index;
}

static void count_duration(struct hook_tally_phase *phase, int64_t duration_us)
{
    size_t bucket = 0;
    while (bucket < HOOK_TALLY_BOUNDS && duration_us > bounds_us[bucket])
        bucket++;
    phase->durations[bucket]++;
    phase->sum_us += duration_us;
}

static int count_event(const struct event *event, void *context)
{
    struct hook_tally *tally = context;
    size_t phase = index_of(event->kind, phases, HOOK_TALLY_PHASES);
    size_t outcome = index_of(event->outcome, outcomes, HOOK_TALLY_OUTCOMES);
    tally->seen = event->seq;
    if (phase == HOOK_TALLY_PHASES || outcome == HOOK_TALLY_OUTCOMES)
        return 0;
    tally->phases[phase].outcomes[outcome]++;
    if (event->duration_us >= 0)
        count_duration(&tally->phases[phase], event->duration_us);
    return 0;
}

static int count_new(struct hook_tally *tally, struct store *store, struct error *error)
{
    int64_t before;
    do {
        before = tally->seen;
        if (event_each(store, 0, before, BATCH, count_event, tally, error) < 0)
            return -1;
    } while (tally->seen > before);
    return 0;
}

/* A number that went back means another store. */
static int catch_up(struct hook_tally *tally, struct store *store, struct error *error)
{
    int64_t newest;
    if (event_newest(store, &newest, error) < 0)
        return -1;
    if (!tally->begun || newest < tally->seen)
        tally->seen = newest;
    tally->begun = true;
    return count_new(tally, store, error);
}

int hook_tally_catch_up(struct hook_tally *tally, struct store *store, struct error *error)
{
    (void)pthread_mutex_lock(&tally->lock);
    int result = catch_up(tally, store, error);
    (void)pthread_mutex_unlock(&tally->lock);
    return result;
}

static void describe_counts(const struct hook_tally *tally, struct buffer *out)
{
    metrics_text_family(out, COUNT_NAME, METRIC_COUNTER,
                        "Phases of guests that felhom-hook reacted to, as recorded in the store.");
    for (size_t i = 0; i < HOOK_TALLY_PHASES; i++)
        for (size_t j = 0; j < HOOK_TALLY_OUTCOMES; j++)
            metrics_text_sample(out, COUNT_NAME,
                                metric_labels({"phase", phases[i]}, {"outcome", outcomes[j]}),
                                (int64_t)tally->phases[i].outcomes[j]);
}

static void describe_durations(const struct hook_tally *tally, struct buffer *out)
{
    metrics_text_family(out, DURATION_NAME, METRIC_HISTOGRAM,
                        "How long felhom-hook took for a phase.");
    for (size_t i = 0; i < HOOK_TALLY_PHASES; i++) {
        const struct metric_histogram histogram = {
            .bounds_us = bounds_us,
            .bound_count = HOOK_TALLY_BOUNDS,
            .counts = tally->phases[i].durations,
            .sum_us = tally->phases[i].sum_us,
        };
        metrics_text_histogram(out, DURATION_NAME, metric_labels({"phase", phases[i]}), &histogram);
    }
}

void hook_tally_describe(struct hook_tally *tally, struct buffer *out)
{
    (void)pthread_mutex_lock(&tally->lock);
    describe_counts(tally, out);
    describe_durations(tally, out);
    (void)pthread_mutex_unlock(&tally->lock);
}
