/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/limiter.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "store/base/clock.h"
#include "store/base/log.h"

#define BURST     10
#define SECOND_US 1000000

/* Whether a line may be written now, and how many were left out before it. */
static bool take_line(struct throttled_log *log, uint32_t *ret_left_out)
{
    const struct bucket_rate rate = bucket_rate(1, SECOND_US, BURST);
    (void)pthread_mutex_lock(&log->lock);
    bool taken = bucket_take(&log->lines, &rate, clock_steady_us()) == 0;
    *ret_left_out = log->left_out;
    log->left_out = taken ? 0 : log->left_out + 1;
    (void)pthread_mutex_unlock(&log->lock);
    return taken;
}

/* Who an entry is about, and what happened. */
struct about {
    uint32_t vmid;
    const char *event;
};

__attribute__((format(printf, 4, 0))) static void log_if_time(struct throttled_log *log,
                                                              int priority, struct about about,
                                                              const char *format, va_list arguments)
{
    char line[512];
    uint32_t left_out;
    if (!take_line(log, &left_out))
        return;
    (void)vsnprintf(line, sizeof(line), format, arguments);
    if (left_out > 0)
        log_guest(priority, about.vmid, about.event, "%s (%u lines before this one were left out)",
                  line, left_out);
    else
        log_guest(priority, about.vmid, about.event, "%s", line);
}

void throttled_log_line(struct throttled_log *log, int priority, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_if_time(log, priority, (struct about){0}, format, arguments);
    va_end(arguments);
}

void throttled_log_guest(struct throttled_log *log, int priority, uint32_t vmid, const char *event,
                         const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_if_time(log, priority, (struct about){vmid, event}, format, arguments);
    va_end(arguments);
}
