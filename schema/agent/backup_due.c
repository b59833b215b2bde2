/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/backup_due.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "schema/base/cleanup.h"
#include "schema/base/units.h"

#define END_TEXT 6 /* offset of the second time in HH:MM-HH:MM */

/* A daily window, in minutes since midnight. */
struct span {
    int start;
    int end; /* the first minute after the window */
};

static int two_digits(const char *text)
{
    return (text[0] - '0') * 10 + (text[1] - '0');
}

static int minute_at(const char *text)
{
    return two_digits(text) * 60 + two_digits(text + 3);
}

static bool span_contains(struct span span, int minute)
{
    if (span.start <= span.end)
        return span.start <= minute && minute < span.end;
    return span.start <= minute || minute < span.end;
}

static struct tm wall_clock(time_t at)
{
    struct tm parts = {0};
    (void)localtime_r(&at, &parts);
    return parts;
}

static int wall_minute(time_t at)
{
    struct tm parts = wall_clock(at);
    return parts.tm_hour * 60 + parts.tm_min;
}

static long utc_offset(time_t at)
{
    return wall_clock(at).tm_gmtoff;
}

/* Returns the time after low and not after high at which the offset from UTC became what it is at
 * high. */
static time_t find_offset_change(time_t low, time_t high)
{
    long after = utc_offset(high);
    while (high - low > 1) {
        time_t middle = low + (high - low) / 2;
        if (utc_offset(middle) == after)
            high = middle;
        else
            low = middle;
    }
    return high;
}

/* Returns true if the clock was put forward in the hour before at, and skipped the whole window. */
static bool window_was_skipped(struct span span, time_t at)
{
    long jump = utc_offset(at) - utc_offset(at - HOUR_S);
    if (jump <= 0)
        return false;
    time_t change = find_offset_change(at - HOUR_S, at);
    int after = wall_minute(change);
    int before = after - (int)(jump / MINUTE_S);
    return at - change < jump && span.start < span.end && before <= span.start && span.end <= after;
}

bool daily_window_is_open(const char *window, time_t at)
{
    if (strcmp(window, "") == 0)
        return true;
    struct span span = {minute_at(window), minute_at(window + END_TEXT)};
    return span_contains(span, wall_minute(at)) || window_was_skipped(span, at);
}

struct words {
    char text[40];
};

/* Writes a duration in the largest unit that gives a meaningful number: 90 minutes, 26 hours, 3
 * days. */
static struct words duration_in_words(int64_t seconds)
{
    static const struct {
        int64_t least;
        int64_t size;
        const char *name;
    } units[] = {
        {3 * DAY_S, DAY_S, "day"},
        {2 * HOUR_S, HOUR_S, "hour"},
        {2 * MINUTE_S, MINUTE_S, "minute"},
        {0, 1, "second"},
    };
    struct words words;
    size_t i = 0;
    while (seconds < units[i].least && i + 1 < ARRAY_SIZE(units))
        i++;
    int64_t count = seconds / units[i].size;
    (void)snprintf(words.text, sizeof words.text, "%" PRId64 " %s%s", count, units[i].name,
                   count == 1 ? "" : "s");
    return words;
}

__attribute__((format(printf, 2, 3))) static void set_reason(struct backup_due *due,
                                                             const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(due->reason, sizeof due->reason, format, args);
    va_end(args);
}

static void due_decide_future(const struct backup_state *state, struct backup_due *due)
{
    uint64_t ahead_ms = (uint64_t)(state->backup_at_ms - state->now_ms);
    due->due = ahead_ms > state->max_age_ms;
    set_reason(due, "the last backup is dated %s ahead of the host's clock, so it %s",
               duration_in_words((int64_t)(ahead_ms / 1000)).text,
               due->due ? "does not count" : "counts as new");
}

static void due_decide_past(const struct backup_state *state, struct backup_due *due)
{
    uint64_t age_ms = (uint64_t)(state->now_ms - state->backup_at_ms);
    struct words age = duration_in_words(due->age_seconds);
    struct words limit = duration_in_words((int64_t)(state->max_age_ms / 1000));
    due->due = age_ms > state->max_age_ms;
    if (due->due && strcmp(age.text, limit.text) == 0)
        set_reason(due, "the last backup is more than %s old", limit.text);
    else
        set_reason(due, "the last backup is %s old, %s than %s", age.text,
                   due->due ? "more" : "not more", limit.text);
}

static struct backup_due due_decide_by_age(const struct backup_state *state)
{
    struct backup_due due = {.due = true, .age_seconds = -1};
    if (state->backup_at_ms == 0) {
        set_reason(&due, "no backup is known");
    } else if (state->backup_at_ms > state->now_ms) {
        due.age_seconds = 0;
        due_decide_future(state, &due);
    } else {
        due.age_seconds = (state->now_ms - state->backup_at_ms) / 1000;
        due_decide_past(state, &due);
    }
    return due;
}

struct backup_due backup_due_decide(const struct backup_state *state)
{
    struct backup_due due = due_decide_by_age(state);
    if (state->running_job_id != 0) {
        due.due = false;
        set_reason(&due, "backup job %" PRId64 " is running", state->running_job_id);
    } else if (due.due && !daily_window_is_open(state->window, (time_t)(state->now_ms / 1000))) {
        due.due = false;
        set_reason(&due, "a backup is due, but only between %.5s and %.5s", state->window,
                   state->window + 6);
    }
    return due;
}
