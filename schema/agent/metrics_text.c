/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/metrics_text.h"

#include <inttypes.h>
#include <stdbool.h>

#include "schema/base/text.h"
#include "schema/base/units.h"

/* What distinguishes the series of one family: the suffix of the name and the bound of a bucket. */
struct series {
    const char *suffix;
    const char *bound; /* value of the label le; NULL: not a bucket */
};

static const char *label_escape(char byte)
{
    switch (byte) {
    case '\\':
        return "\\\\";
    case '"':
        return "\\\"";
    case '\n':
        return "\\n";
    default:
        return NULL;
    }
}

static void add_label_value(struct buffer *out, const char *text)
{
    while (*text) {
        size_t size = text_character(text);
        const char *escape = size == 0 ? "?" : label_escape(*text);
        if (escape)
            buffer_add_text(out, escape);
        else
            buffer_add(out, text, size);
        text += size == 0 ? 1 : size;
    }
}

static void add_label(struct buffer *out, const char *name, const char *value, bool first)
{
    buffer_add_format(out, "%s%s=\"", first ? "{" : ",", name);
    add_label_value(out, value);
    buffer_add_text(out, "\"");
}

/* Writes a sample's line up to its value. */
static void add_series(struct buffer *out, const char *name, struct metric_labels labels,
                       struct series series)
{
    buffer_add_format(out, "%s%s", name, series.suffix);
    for (size_t i = 0; i < labels.count; i++)
        add_label(out, labels.items[i].name, labels.items[i].value, i == 0);
    if (series.bound)
        add_label(out, "le", series.bound, labels.count == 0);
    buffer_add_text(out, labels.count > 0 || series.bound ? "} " : " ");
}

/* Writes microseconds as seconds, without trailing zeros: 0.25, 3 or -1.000001. */
static void add_seconds(struct buffer *out, int64_t us)
{
    uint64_t size = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
    uint64_t fraction = size % SECOND_US;
    int digits = 6;
    buffer_add_format(out, "%s%" PRIu64, us < 0 ? "-" : "", size / SECOND_US);
    if (fraction == 0)
        return;
    for (; fraction % 10 == 0; digits--)
        fraction /= 10;
    buffer_add_format(out, ".%0*" PRIu64, digits, fraction);
}

void metrics_text_family(struct buffer *out, const char *name, enum metric_type type,
                         const char *help)
{
    static const char *const types[] = {
        [METRIC_GAUGE] = "gauge", [METRIC_COUNTER] = "counter", [METRIC_HISTOGRAM] = "histogram"};
    buffer_add_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, types[type]);
}

void metrics_text_sample(struct buffer *out, const char *name, struct metric_labels labels,
                         int64_t value)
{
    add_series(out, name, labels, (struct series){.suffix = ""});
    buffer_add_format(out, "%" PRId64 "\n", value);
}

void metrics_text_seconds(struct buffer *out, const char *name, struct metric_labels labels,
                          int64_t us)
{
    add_series(out, name, labels, (struct series){.suffix = ""});
    add_seconds(out, us);
    buffer_add_text(out, "\n");
}

static void add_bucket(struct buffer *out, const char *name, struct metric_labels labels,
                       const char *bound, uint64_t count)
{
    add_series(out, name, labels, (struct series){"_bucket", bound});
    buffer_add_format(out, "%" PRIu64 "\n", count);
}

/* Returns the total number of durations. */
static uint64_t add_buckets(struct buffer *out, const char *name, struct metric_labels labels,
                            const struct metric_histogram *histogram)
{
    uint64_t count = 0;
    for (size_t i = 0; i < histogram->bound_count; i++) {
        cleanup_buffer struct buffer bound = BUFFER_EMPTY;
        add_seconds(&bound, histogram->bounds_us[i]);
        count += histogram->counts[i];
        add_bucket(out, name, labels, buffer_text(&bound), count);
    }
    count += histogram->counts[histogram->bound_count];
    add_bucket(out, name, labels, "+Inf", count);
    return count;
}

void metrics_text_histogram(struct buffer *out, const char *name, struct metric_labels labels,
                            const struct metric_histogram *histogram)
{
    uint64_t count = add_buckets(out, name, labels, histogram);
    add_series(out, name, labels, (struct series){.suffix = "_sum"});
    add_seconds(out, histogram->sum_us);
    buffer_add_text(out, "\n");
    add_series(out, name, labels, (struct series){.suffix = "_count"});
    buffer_add_format(out, "%" PRIu64 "\n", count);
}
