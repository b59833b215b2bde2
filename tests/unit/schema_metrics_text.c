/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/metrics_text.h"

#include "tests/unit/test.h"

static void expect(struct buffer *out, const char *expected)
{
    assert_string_equal(buffer_text(out), expected);
    buffer_free(out);
}

static void a_family_has_a_head_and_samples(void **state)
{
    struct buffer out = BUFFER_EMPTY;
    (void)state;
    metrics_text_family(&out, "felhom_tokens", METRIC_GAUGE, "Tokens.");
    metrics_text_sample(&out, "felhom_tokens", metric_labels({"state", "good"}), 3);
    metrics_text_sample(&out, "felhom_tokens", metric_labels({"state", "x"}, {"y", ""}), INT64_MIN);
    metrics_text_family(&out, "felhom_calls_total", METRIC_COUNTER, "Calls.");
    metrics_text_sample(&out, "felhom_calls_total", METRIC_NO_LABELS, 0);
    expect(&out, "# HELP felhom_tokens Tokens.\n"
                 "# TYPE felhom_tokens gauge\n"
                 "felhom_tokens{state=\"good\"} 3\n"
                 "felhom_tokens{state=\"x\",y=\"\"} -9223372036854775808\n"
                 "# HELP felhom_calls_total Calls.\n"
                 "# TYPE felhom_calls_total counter\n"
                 "felhom_calls_total 0\n");
}

static void seconds_have_no_needless_digits(void **state)
{
    static const struct {
        int64_t us;
        const char *line;
    } cases[] = {
        {0, "s 0\n"},
        {1, "s 0.000001\n"},
        {250000, "s 0.25\n"},
        {10000000, "s 10\n"},
        {10000100, "s 10.0001\n"},
        {-1500000, "s -1.5\n"},
        {INT64_MIN, "s -9223372036854.775808\n"},
    };
    struct buffer out = BUFFER_EMPTY;
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        metrics_text_seconds(&out, "s", METRIC_NO_LABELS, cases[i].us);
        expect(&out, cases[i].line);
    }
}

static void values_of_labels_may_be_anything(void **state)
{
    static const struct {
        const char *value;
        const char *line;
    } cases[] = {
        {"a\"b\\c\nd", "m{l=\"a\\\"b\\\\c\\nd\"} 1\n"},
        {"Jörg €\xF0\x9F\x90\xA7", "m{l=\"Jörg €\xF0\x9F\x90\xA7\"} 1\n"},
        {"\xFFx\xC3", "m{l=\"?x?\"} 1\n"},
        {"\xC0\xAF\xE0\x80\xAF", "m{l=\"?????\"} 1\n"},
        {"\xED\xA0\x80|\xF4\x90\x80\x80|\xF8", "m{l=\"???|????|?\"} 1\n"},
        {"\xE2\x82", "m{l=\"??\"} 1\n"},
        {"} 1\n# TYPE m gauge", "m{l=\"} 1\\n# TYPE m gauge\"} 1\n"},
    };
    struct buffer out = BUFFER_EMPTY;
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        metrics_text_sample(&out, "m", metric_labels({"l", cases[i].value}), 1);
        expect(&out, cases[i].line);
    }
}

static void buckets_hold_those_below_too(void **state)
{
    static const int64_t bounds_us[] = {5000, 1000000};
    static const uint64_t counts[] = {2, 1, 4};
    const struct metric_histogram histogram = {bounds_us, 2, counts, 61000001};
    struct buffer out = BUFFER_EMPTY;
    (void)state;
    metrics_text_histogram(&out, "h", metric_labels({"phase", "pre-start"}), &histogram);
    expect(&out, "h_bucket{phase=\"pre-start\",le=\"0.005\"} 2\n"
                 "h_bucket{phase=\"pre-start\",le=\"1\"} 3\n"
                 "h_bucket{phase=\"pre-start\",le=\"+Inf\"} 7\n"
                 "h_sum{phase=\"pre-start\"} 61.000001\n"
                 "h_count{phase=\"pre-start\"} 7\n");
    metrics_text_histogram(&out, "h", METRIC_NO_LABELS,
                           &(struct metric_histogram){NULL, 0, counts, 0});
    expect(&out, "h_bucket{le=\"+Inf\"} 2\nh_sum 0\nh_count 2\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_family_has_a_head_and_samples),
        cmocka_unit_test(seconds_have_no_needless_digits),
        cmocka_unit_test(values_of_labels_may_be_anything),
        cmocka_unit_test(buckets_hold_those_below_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
