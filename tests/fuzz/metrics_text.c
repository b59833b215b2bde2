/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics with anything for a label's value and any numbers: each sample stays one line, whose
 * value's quotes are where they belong. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "schema/agent/metrics_text.h"
#include "schema/base/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
    if (!holds)
        abort();
}

/* Past the quoted text at the start; every backslash takes one of three along. */
static const char *skip_value(const char *text)
{
    demand(*text++ == '"');
    for (; *text != '"'; text++) {
        demand(*text && *text != '\n');
        if (*text == '\\')
            demand(*++text && strchr("\\\"n", *text));
    }
    return text + 1;
}

static const char *skip_text(const char *text, const char *expected)
{
    demand(strncmp(text, expected, strlen(expected)) == 0);
    return text + strlen(expected);
}

static void check_line(const char *text, int64_t value)
{
    char *end;
    text = skip_value(skip_text(text, "m{a="));
    text = skip_text(skip_value(skip_text(text, ",b=")), "} ");
    demand(strtoll(text, &end, 10) == value && strcmp(end, "\n") == 0);
}

static void check_seconds(int64_t us)
{
    char *end;
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    metrics_text_seconds(&out, "s", METRIC_NO_LABELS, us);
    double told = strtod(skip_text(buffer_text(&out), "s "), &end) * 1e6;
    double error = told - (double)us;
    demand(strcmp(end, "\n") == 0 && error * error <= (double)us * (double)us * 1e-24 + 1e-6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t value;
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    if (size < sizeof value)
        return 0;
    memcpy(&value, data, sizeof value);
    cleanup_free char *label =
        mem_copy_text_n((const char *)data + sizeof value, size - sizeof value);
    metrics_text_sample(&out, "m", metric_labels({"a", label}, {"b", "c"}), value);
    check_line(buffer_text(&out), value);
    check_seconds(value);
    return 0;
}
