/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics as Prometheus reads them, text format 0.0.4: families one after the other, each a head
 * and its samples. Names of families and labels are the caller's own and must be valid; the values
 * of labels may be anything.
 */
#ifndef FELHOM_METRICS_TEXT_H
#define FELHOM_METRICS_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"

#define METRICS_TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum metric_type { METRIC_GAUGE, METRIC_COUNTER, METRIC_HISTOGRAM };

struct metric_label {
    const char *name;
    const char *value;
};

struct metric_labels {
    const struct metric_label *items;
    size_t count;
};

/* metric_labels({"id", "lxc/8200"}, {"state", "running"}) */
#define metric_labels(...) \
    ((struct metric_labels){(const struct metric_label[]){__VA_ARGS__}, \
                            ARRAY_SIZE(((const struct metric_label[]){__VA_ARGS__}))})
#define METRIC_NO_LABELS ((struct metric_labels){NULL, 0})

/* Begins a family. */
void metrics_text_family(struct buffer *out, const char *name, enum metric_type type,
                         const char *help);

/* Adds a sample of a gauge or a counter; bytes in a label's value that are no UTF-8 become '?'. */
void metrics_text_sample(struct buffer *out, const char *name, struct metric_labels labels,
                         int64_t value);

/* The same for seconds, told in microseconds. */
void metrics_text_seconds(struct buffer *out, const char *name, struct metric_labels labels,
                          int64_t us);

/* How many durations there were up to each bound, and beyond the last. */
struct metric_histogram {
    const int64_t *bounds_us; /* ever greater */
    size_t bound_count;
    const uint64_t *counts; /* bound_count + 1; each without those of the bounds below */
    int64_t sum_us;
};

/* Adds the buckets, sum and count of a histogram of seconds. */
void metrics_text_histogram(struct buffer *out, const char *name, struct metric_labels labels,
                            const struct metric_histogram *histogram);

#endif
