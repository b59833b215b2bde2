/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/daily_window.h"

#include <string.h>

#define MINUTE   60
#define HOUR     3600
#define END_TEXT 6 /* where the second time stands in HH:MM-HH:MM */

/* Minutes of the day. */
struct span {
    int start;
    int end; /* no longer in it */
};

static int two_digits(const char *text)
{
    return (text[0] - '0') * 10 + (text[1] - '0');
}

static int minute_at(const char *text)
{
    return two_digits(text) * 60 + two_digits(text + 3);
}

static bool is_within(struct span span, int minute)
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

static long offset(time_t at)
{
    return wall_clock(at).tm_gmtoff;
}

/* When, after low and until high, the offset became what it is at high. */
static time_t find_change(time_t low, time_t high)
{
    long after = offset(high);
    while (high - low > 1) {
        time_t middle = low + (high - low) / 2;
        if (offset(middle) == after)
            high = middle;
        else
            low = middle;
    }
    return high;
}

/* For the hour after the clock was put forward: whether it skipped the whole window. */
static bool was_skipped(struct span span, time_t at)
{
    long jump = offset(at) - offset(at - HOUR);
    if (jump <= 0)
        return false;
    time_t change = find_change(at - HOUR, at);
    int after = wall_minute(change);
    int before = after - (int)(jump / MINUTE);
    return at - change < jump && span.start < span.end && before <= span.start && span.end <= after;
}

bool daily_window_is_open(const char *window, time_t at)
{
    if (strcmp(window, "") == 0)
        return true;
    struct span span = {minute_at(window), minute_at(window + END_TEXT)};
    return is_within(span, wall_minute(at)) || was_skipped(span, at);
}
