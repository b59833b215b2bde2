/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a guest should be backed up now. */
#ifndef FELHOM_BACKUP_DUE_H
#define FELHOM_BACKUP_DUE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct backup_state {
    int64_t now_ms;
    int64_t backup_at_ms;   /* of the newest finished one; 0: none is known */
    int64_t running_job_id; /* of the backup that is under way; 0: none is */
    uint64_t max_age_ms;
    const char *window; /* as daily_window_is_open takes it */
};

struct backup_due {
    bool due;
    char reason[128];    /* one line in words */
    int64_t age_seconds; /* of the newest backup; -1: none is known */
};

/*
 * Due is a guest whose newest backup is older than max_age, or that has none, while the window is
 * open and no backup of it runs. A backup dated ahead of now is 0 seconds old, as a clock that was
 * put right may have made it so; by more than max_age, it does not count, lest a clock that was
 * once far ahead keeps the guest from being backed up.
 */
struct backup_due backup_due_decide(const struct backup_state *state);

/*
 * True if a daily window is open at that time by the host's wall clock. A window is HH:MM-HH:MM as
 * rule_window in text_rules.h accepts it, also across midnight; "" is always open. It is open from
 * its first minute on, and no longer in its last. What the wall clock shows
 * twice when summer time ends is open twice. A window that the clock skips as a whole when summer
 * time begins is open for as long as was skipped, from then on: it opens every day.
 */
bool daily_window_is_open(const char *window, time_t at);

#endif
