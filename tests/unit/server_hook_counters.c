/* SPDX-License-Identifier: Apache-2.0 */
#include "server/metrics/metrics.h"

#include <string.h>

#include "schema/base/memory.h"
#include "store/tables/event.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/test.h"

static void add(struct store *store, const char *kind, const char *outcome, int64_t duration_us)
{
    const struct event event = {
        .at_ms = 1, .vmid = 8200, .kind = kind, .outcome = outcome, .duration_us = duration_us};
    OK(event_add(store, &event, &error));
}

/* Returns the exported value of a series. */
static void expect(struct hook_counters *counters, const char *series, const char *value)
{
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    cleanup_free char *line = mem_format("\n%s %s\n", series, value);
    hook_counters_write(counters, &out);
    if (!strstr(buffer_text(&out), line))
        fail_test("no %s in %s", line, buffer_text(&out));
}

static void only_what_comes_after_the_first_look(void **state)
{
    struct hook_counters counters = HOOK_COUNTERS_NEW;
    cleanup_store struct store *store = store_of_scratch();
    (void)state;
    add(store, "pre-start", "ok", 1000);
    OK(hook_counters_catch_up(&counters, store, &error));
    expect(&counters, "felhom_hook_phases_total{phase=\"pre-start\",outcome=\"ok\"}", "0");
    add(store, "pre-start", "ok", 2500);
    add(store, "pre-start", "warning", 2501);
    add(store, "post-stop", "error", 6000000);
    OK(hook_counters_catch_up(&counters, store, &error));
    OK(hook_counters_catch_up(&counters, store, &error));
    expect(&counters, "felhom_hook_phases_total{phase=\"pre-start\",outcome=\"ok\"}", "1");
    expect(&counters, "felhom_hook_phases_total{phase=\"pre-start\",outcome=\"warning\"}", "1");
    expect(&counters, "felhom_hook_phases_total{phase=\"post-stop\",outcome=\"error\"}", "1");
}

static void durations_go_into_their_buckets(void **state)
{
    struct hook_counters counters = HOOK_COUNTERS_NEW;
    cleanup_store struct store *store = store_of_scratch();
    (void)state;
    OK(hook_counters_catch_up(&counters, store, &error));
    add(store, "pre-start", "ok", 2500);
    add(store, "pre-start", "ok", 2501);
    add(store, "pre-start", "ok", 6000000);
    add(store, "pre-start", "ok", -1);
    OK(hook_counters_catch_up(&counters, store, &error));
    expect(&counters,
           "felhom_hook_phase_duration_seconds_bucket{phase=\"pre-start\",le=\"0.0025\"}", "1");
    expect(&counters, "felhom_hook_phase_duration_seconds_bucket{phase=\"pre-start\",le=\"0.005\"}",
           "2");
    expect(&counters, "felhom_hook_phase_duration_seconds_bucket{phase=\"pre-start\",le=\"5\"}",
           "2");
    expect(&counters, "felhom_hook_phase_duration_seconds_bucket{phase=\"pre-start\",le=\"+Inf\"}",
           "3");
    expect(&counters, "felhom_hook_phase_duration_seconds_sum{phase=\"pre-start\"}", "6.005001");
    expect(&counters, "felhom_hook_phases_total{phase=\"pre-start\",outcome=\"ok\"}", "4");
}

static void other_events_are_no_phases(void **state)
{
    struct hook_counters counters = HOOK_COUNTERS_NEW;
    cleanup_buffer struct buffer before = BUFFER_EMPTY;
    cleanup_buffer struct buffer after = BUFFER_EMPTY;
    cleanup_store struct store *store = store_of_scratch();
    (void)state;
    OK(hook_counters_catch_up(&counters, store, &error));
    hook_counters_write(&counters, &before);
    add(store, "mint", "ok", 5);
    add(store, "", "error", 5);
    OK(hook_counters_catch_up(&counters, store, &error));
    hook_counters_write(&counters, &after);
    assert_string_equal(buffer_text(&before), buffer_text(&after));
}

static void many_at_once_are_all_counted(void **state)
{
    struct hook_counters counters = HOOK_COUNTERS_NEW;
    cleanup_store struct store *store = store_of_scratch();
    (void)state;
    OK(hook_counters_catch_up(&counters, store, &error));
    OK(store_begin(store, &error));
    for (int i = 0; i < 2001; i++)
        add(store, "pre-stop", "ok", 1);
    OK(store_commit(store, &error));
    OK(hook_counters_catch_up(&counters, store, &error));
    expect(&counters, "felhom_hook_phases_total{phase=\"pre-stop\",outcome=\"ok\"}", "2001");
}

static void another_store_takes_nothing_away(void **state)
{
    struct hook_counters counters = HOOK_COUNTERS_NEW;
    cleanup_store struct store *store = store_of_scratch();
    (void)state;
    OK(hook_counters_catch_up(&counters, store, &error));
    add(store, "pre-stop", "ok", 1);
    add(store, "pre-stop", "ok", 1);
    OK(hook_counters_catch_up(&counters, store, &error));
    run_raw("DELETE FROM event; UPDATE sqlite_sequence SET seq = 0 WHERE name = 'event'");
    OK(hook_counters_catch_up(&counters, store, &error));
    add(store, "pre-stop", "ok", 1);
    OK(hook_counters_catch_up(&counters, store, &error));
    expect(&counters, "felhom_hook_phases_total{phase=\"pre-stop\",outcome=\"ok\"}", "3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(only_what_comes_after_the_first_look),
        store_test(durations_go_into_their_buckets),
        store_test(other_events_are_no_phases),
        store_test(many_at_once_are_all_counted),
        store_test(another_store_takes_nothing_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
