/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides whether a guest should be backed up now, from the age of its newest backup, the
 * operator's maximum age and daily window, and whether a backup is running. GET /backup/due answers
 * with this decision. The functions read no clock and no file; the caller passes everything in
 * struct backup_state. Only the daily window depends on the host's time zone.
 */
#ifndef FELHOM_BACKUP_DUE_H
#define FELHOM_BACKUP_DUE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct backup_state {
    int64_t now_ms;
    int64_t backup_at_ms;   /* when the newest finished backup was made; 0: none is known */
    int64_t running_job_id; /* of the running backup job; 0: none */
    uint64_t max_age_ms;
    const char *window; /* in the form that daily_window_is_open accepts */
};

struct backup_due {
    bool due;
    char reason[128];    /* a sentence for people, one line */
    int64_t age_seconds; /* of the newest backup; -1: none is known */
};

/*
 * Decides whether a backup is due: the newest backup is older than max_age, or there is none, the
 * window is open, and no backup is running.
 *
 * A backup dated in the future counts as 0 seconds old, because the clock may have been corrected
 * since. If it is dated more than max_age in the future, it does not count at all; otherwise a
 * clock that was once far ahead would keep the guest from being backed up.
 */
struct backup_due backup_due_decide(const struct backup_state *state);

/*
 * Returns true if the daily window is open at that time by the host's wall clock. A window is
 * HH:MM-HH:MM as rule_window in text_rules.h accepts it; it may span midnight. "" is always open.
 * The window includes its first minute and excludes its last.
 *
 * When summer time ends, a window within the repeated hour is open twice. When summer time begins
 * and the clock skips a whole window, the window opens right after the skip, for as long as the
 * clock skipped; so every window opens every day.
 */
bool daily_window_is_open(const char *window, time_t at);

#endif
