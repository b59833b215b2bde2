/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes metrics in Prometheus's text format 0.0.4. For each family, call metrics_text_family and
 * then write its samples. The caller must pass valid names for families and labels; values of
 * labels may be any text and are escaped here. felhomd serves the result at /metrics and may also
 * write it to a file for node_exporter.
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

/* Example: metrics_text_sample(out, name, metric_labels({"id", "lxc/8200"}), 1) */
#define metric_labels(...) \
    ((struct metric_labels){(const struct metric_label[]){__VA_ARGS__}, \
                            ARRAY_SIZE(((const struct metric_label[]){__VA_ARGS__}))})
#define METRIC_NO_LABELS ((struct metric_labels){NULL, 0})

/* Writes a family's HELP and TYPE lines. */
void metrics_text_family(struct buffer *out, const char *name, enum metric_type type,
                         const char *help);

/* Writes a sample of a gauge or a counter. Bytes of a label's value that are not UTF-8 become
 * '?'. */
void metrics_text_sample(struct buffer *out, const char *name, struct metric_labels labels,
                         int64_t value);

/* Like metrics_text_sample for a duration: us is in microseconds, the sample is in seconds. */
void metrics_text_seconds(struct buffer *out, const char *name, struct metric_labels labels,
                          int64_t us);

/* Counts of durations: one for each bound, and one for durations above the last bound. */
struct metric_histogram {
    const int64_t *bounds_us; /* ascending */
    size_t bound_count;
    const uint64_t *counts; /* bound_count + 1 counts, not cumulative */
    int64_t sum_us;
};

/* Writes the buckets, sum and count of a histogram, in seconds. */
void metrics_text_histogram(struct buffer *out, const char *name, struct metric_labels labels,
                            const struct metric_histogram *histogram);

#endif
