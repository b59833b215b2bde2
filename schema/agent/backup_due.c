/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/backup_due.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "schema/agent/daily_window.h"
#include "schema/base/cleanup.h"

struct words {
    char text[40];
};

/* In the largest unit of which there are some: 90 minutes, 26 hours, 3 days. */
static struct words in_words(int64_t seconds)
{
    static const struct {
        int64_t least;
        int64_t size;
        const char *name;
    } units[] = {
        {INT64_C(3) * 86400, 86400, "day"},
        {INT64_C(2) * 3600, 3600, "hour"},
        {INT64_C(2) * 60, 60, "minute"},
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

__attribute__((format(printf, 2, 3))) static void say(struct backup_due *due, const char *format,
                                                      ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(due->reason, sizeof due->reason, format, args);
    va_end(args);
}

static void judge_future(const struct backup_state *state, struct backup_due *due)
{
    uint64_t ahead_ms = (uint64_t)(state->backup_at_ms - state->now_ms);
    due->due = ahead_ms > state->max_age_ms;
    say(due, "the last backup is dated %s ahead of the host's clock, so it %s",
        in_words((int64_t)(ahead_ms / 1000)).text, due->due ? "does not count" : "counts as new");
}

static void judge_past(const struct backup_state *state, struct backup_due *due)
{
    uint64_t age_ms = (uint64_t)(state->now_ms - state->backup_at_ms);
    struct words age = in_words(due->age_seconds);
    struct words limit = in_words((int64_t)(state->max_age_ms / 1000));
    due->due = age_ms > state->max_age_ms;
    if (due->due && strcmp(age.text, limit.text) == 0)
        say(due, "the last backup is more than %s old", limit.text);
    else
        say(due, "the last backup is %s old, %s than %s", age.text, due->due ? "more" : "not more",
            limit.text);
}

static struct backup_due judge_age(const struct backup_state *state)
{
    struct backup_due due = {.due = true, .age_seconds = -1};
    if (state->backup_at_ms == 0) {
        say(&due, "no backup is known");
    } else if (state->backup_at_ms > state->now_ms) {
        due.age_seconds = 0;
        judge_future(state, &due);
    } else {
        due.age_seconds = (state->now_ms - state->backup_at_ms) / 1000;
        judge_past(state, &due);
    }
    return due;
}

struct backup_due backup_due_decide(const struct backup_state *state)
{
    struct backup_due due = judge_age(state);
    if (state->running_job_id != 0) {
        due.due = false;
        say(&due, "backup job %" PRId64 " is running", state->running_job_id);
    } else if (due.due && !daily_window_is_open(state->window, (time_t)(state->now_ms / 1000))) {
        due.due = false;
        say(&due, "a backup is due, but only between %.5s and %.5s", state->window,
            state->window + 6);
    }
    return due;
}
