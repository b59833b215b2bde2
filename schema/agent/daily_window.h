/* SPDX-License-Identifier: Apache-2.0 */
/* A stretch of every day, by the host's wall clock: "22:00-05:00". */
#ifndef FELHOM_DAILY_WINDOW_H
#define FELHOM_DAILY_WINDOW_H

#include <stdbool.h>
#include <time.h>

/*
 * Whether the window (HH:MM-HH:MM as rule_window has it, also across midnight; "" is always) is
 * open at that time: from its first minute on, and no longer in its last. What the wall clock shows
 * twice when summer time ends is open twice. A window that the clock skips as a whole when summer
 * time begins is open for as long as was skipped, from then on: it opens every day.
 */
bool daily_window_is_open(const char *window, time_t at);

#endif
