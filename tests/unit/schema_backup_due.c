/* SPDX-License-Identifier: Apache-2.0 */
/* When a backup is due, and when a daily window is open; in Berlin's time zone, which has summer
 * time. */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "schema/agent/backup_due.h"
#include "schema/base/cleanup.h"
#include "schema/base/units.h"

#define NOON INT64_C(1795518000) /* 2026-11-24 12:00 in Berlin */

/* A time by Berlin's wall clock; summer distinguishes the times that occur twice. */
static time_t berlin(int month, int day, int hour, int minute, int second, int summer)
{
    struct tm parts = {.tm_year = 126,
                       .tm_mon = month - 1,
                       .tm_mday = day,
                       .tm_hour = hour,
                       .tm_min = minute,
                       .tm_sec = second,
                       .tm_isdst = summer};
    time_t at = mktime(&parts);
    assert_int_equal(parts.tm_hour, hour);
    assert_int_equal(parts.tm_isdst, summer);
    return at;
}

static void assert_window(const char *window, time_t at, bool expected)
{
    if (daily_window_is_open(window, at) != expected)
        fail_test("%s at %ld: not %s", window, (long)at, expected ? "open" : "closed");
}

static void test_window(void **state)
{
    (void)state;
    static const struct {
        const char *window;
        int hour, minute, second;
        bool open;
    } cases[] = {
        {"", 12, 0, 0, true},
        {"08:00-09:30", 7, 59, 59, false},
        {"08:00-09:30", 8, 0, 0, true},
        {"08:00-09:30", 9, 29, 59, true},
        {"08:00-09:30", 9, 30, 0, false},
        {"08:00-09:30", 0, 0, 0, false},
        {"22:00-05:00", 21, 59, 59, false},
        {"22:00-05:00", 22, 0, 0, true},
        {"22:00-05:00", 23, 59, 59, true},
        {"22:00-05:00", 0, 0, 0, true},
        {"22:00-05:00", 4, 59, 59, true},
        {"22:00-05:00", 5, 0, 0, false},
        {"00:00-23:59", 23, 58, 59, true},
        {"00:00-23:59", 23, 59, 0, false},
        {"23:59-00:00", 23, 59, 59, true},
        {"23:59-00:00", 0, 0, 0, false},
        {"12:00-00:00", 23, 59, 59, true},
        {"12:00-00:00", 0, 0, 0, false},
        {"00:00-00:01", 0, 0, 59, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_window(cases[i].window,
                      berlin(11, 24, cases[i].hour, cases[i].minute, cases[i].second, 0),
                      cases[i].open);
}

/* 29 March 2026: the clock goes from 02:00 to 03:00. */
static void test_spring(void **state)
{
    (void)state;
    time_t jump = berlin(3, 29, 3, 0, 0, 1);
    assert_int_equal(jump - 1, berlin(3, 29, 1, 59, 59, 0));
    assert_window("22:00-05:00", berlin(3, 28, 21, 59, 59, 0), false);
    assert_window("22:00-05:00", berlin(3, 28, 22, 0, 0, 0), true);
    assert_window("22:00-05:00", jump - 1, true);
    assert_window("22:00-05:00", jump, true);
    assert_window("22:00-05:00", berlin(3, 29, 4, 59, 59, 1), true);
    assert_window("22:00-05:00", berlin(3, 29, 5, 0, 0, 1), false);

    /* The window would not be open at all that day. */
    assert_window("02:00-03:00", jump - 1, false);
    assert_window("02:00-03:00", jump, true);
    assert_window("02:00-03:00", jump + 3599, true);
    assert_window("02:00-03:00", jump + 3600, false);
    assert_window("02:15-02:45", jump - 1, false);
    assert_window("02:15-02:45", jump, true);
    assert_window("02:15-02:45", jump + 3599, true);
    assert_window("02:15-02:45", jump + 3600, false);
    assert_window("02:15-02:45", berlin(3, 30, 2, 15, 0, 1), true);
    assert_window("02:15-02:45", berlin(3, 30, 3, 15, 0, 1), false);

    /* These windows are open, on one side of the jump. */
    assert_window("01:30-02:30", jump - 1, true);
    assert_window("01:30-02:30", jump, false);
    assert_window("02:30-03:30", jump - 1, false);
    assert_window("02:30-03:30", jump, true);
    assert_window("02:30-03:30", jump + 1800, false);
    assert_window("03:00-02:00", jump - 1, true);
    assert_window("03:00-02:00", jump, true);
    assert_window("12:00-13:00", jump, false);
}

/* 25 October 2026: the clock goes from 03:00 back to 02:00. */
static void test_autumn(void **state)
{
    (void)state;
    time_t jump = berlin(10, 25, 2, 0, 0, 0);
    assert_int_equal(jump - 1, berlin(10, 25, 2, 59, 59, 1));
    assert_window("02:00-03:00", berlin(10, 25, 1, 59, 59, 1), false);
    assert_window("02:00-03:00", berlin(10, 25, 2, 0, 0, 1), true);
    assert_window("02:00-03:00", jump - 1, true);
    assert_window("02:00-03:00", jump, true);
    assert_window("02:00-03:00", berlin(10, 25, 2, 59, 59, 0), true);
    assert_window("02:00-03:00", berlin(10, 25, 3, 0, 0, 0), false);
    assert_window("22:00-05:00", berlin(10, 24, 21, 59, 59, 1), false);
    assert_window("22:00-05:00", berlin(10, 24, 22, 0, 0, 1), true);
    assert_window("22:00-05:00", jump - 1, true);
    assert_window("22:00-05:00", jump, true);
    assert_window("22:00-05:00", berlin(10, 25, 4, 59, 59, 0), true);
    assert_window("22:00-05:00", berlin(10, 25, 5, 0, 0, 0), false);
}

static const struct backup_state noon = {
    .now_ms = NOON * 1000,
    .max_age_ms = 24 * HOUR_MS,
    .window = "",
};

static void assert_due(struct backup_state state, bool due, int64_t age_seconds, const char *reason)
{
    struct backup_due result = backup_due_decide(&state);
    assert_string_equal(result.reason, reason);
    assert_int_equal(result.due, due);
    assert_int_equal(result.age_seconds, age_seconds);
}

static void assert_age(int64_t age_ms, bool due, int64_t age_seconds, const char *reason)
{
    struct backup_state state = noon;
    state.backup_at_ms = state.now_ms - age_ms;
    assert_due(state, due, age_seconds, reason);
}

static void test_age(void **state)
{
    (void)state;
    assert_due(noon, true, -1, "no backup is known");
    assert_age(26 * HOUR_MS, true, 93600, "the last backup is 26 hours old, more than 24 hours");
    assert_age(3 * HOUR_MS, false, 10800, "the last backup is 3 hours old, not more than 24 hours");
    assert_age(24 * HOUR_MS, false, 86400,
               "the last backup is 24 hours old, not more than 24 hours");
    assert_age(24 * HOUR_MS + 1, true, 86400, "the last backup is more than 24 hours old");
    assert_age(25 * HOUR_MS - 1, true, 89999, "the last backup is more than 24 hours old");
    assert_age(0, false, 0, "the last backup is 0 seconds old, not more than 24 hours");
    assert_age(1999, false, 1, "the last backup is 1 second old, not more than 24 hours");
    assert_age(119999, false, 119, "the last backup is 119 seconds old, not more than 24 hours");
    assert_age(120000, false, 120, "the last backup is 2 minutes old, not more than 24 hours");
    assert_age(72 * HOUR_MS - 1, true, 259199,
               "the last backup is 71 hours old, more than 24 hours");
    assert_age(72 * HOUR_MS, true, 259200, "the last backup is 3 days old, more than 24 hours");
}

static void test_no_age_at_all(void **state)
{
    (void)state;
    struct backup_state always = noon;
    always.max_age_ms = 0;
    always.backup_at_ms = always.now_ms;
    assert_due(always, false, 0, "the last backup is 0 seconds old, not more than 0 seconds");
    always.backup_at_ms--;
    assert_due(always, true, 0, "the last backup is more than 0 seconds old");
}

static void test_future(void **state)
{
    (void)state;
    assert_age(-1, false, 0,
               "the last backup is dated 0 seconds ahead of the host's clock, so it counts as new");
    assert_age(-24 * HOUR_MS, false, 0,
               "the last backup is dated 24 hours ahead of the host's clock, so it counts as new");
    assert_age(-24 * HOUR_MS - 1, true, 0,
               "the last backup is dated 24 hours ahead of the host's clock, so it does not count");
    struct backup_state far = noon;
    far.backup_at_ms = INT64_MAX;
    assert_true(backup_due_decide(&far).due);
}

static void test_job(void **state)
{
    (void)state;
    struct backup_state running = noon;
    running.running_job_id = 12;
    assert_due(running, false, -1, "backup job 12 is running");
    running.window = "22:00-05:00";
    running.backup_at_ms = running.now_ms - 30 * HOUR_MS;
    assert_due(running, false, 108000, "backup job 12 is running");
    running.running_job_id = INT64_MAX;
    assert_due(running, false, 108000, "backup job 9223372036854775807 is running");
}

static void test_due_in_window_alone(void **state)
{
    (void)state;
    struct backup_state outside = noon;
    outside.window = "22:00-05:00";
    assert_due(outside, false, -1, "a backup is due, but only between 22:00 and 05:00");
    outside.backup_at_ms = outside.now_ms - 30 * HOUR_MS;
    assert_due(outside, false, 108000, "a backup is due, but only between 22:00 and 05:00");
    outside.backup_at_ms = outside.now_ms - HOUR_MS;
    assert_due(outside, false, 3600, "the last backup is 60 minutes old, not more than 24 hours");
    outside.window = "12:00-12:01";
    outside.backup_at_ms = 0;
    assert_due(outside, true, -1, "no backup is known");
}

static int be_in_berlin(void **state)
{
    (void)state;
    /* Berlin's rules, even if this machine has no time zone database. */
    (void)setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    struct tm parts;
    time_t noon_s = NOON;
    return localtime_r(&noon_s, &parts) && parts.tm_hour == 12 && parts.tm_gmtoff == 3600 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window),        cmocka_unit_test(test_spring),
        cmocka_unit_test(test_autumn),        cmocka_unit_test(test_age),
        cmocka_unit_test(test_no_age_at_all), cmocka_unit_test(test_future),
        cmocka_unit_test(test_job),           cmocka_unit_test(test_due_in_window_alone),
    };
    return cmocka_run_group_tests(tests, be_in_berlin, NULL);
}
