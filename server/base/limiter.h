/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines that clients can provoke: a few at once, then one a second, with the number of those
 * that were left out. */
#ifndef FELHOM_THROTTLED_LOG_H
#define FELHOM_THROTTLED_LOG_H

#include <pthread.h>
#include <stdint.h>

#include "server/base/bucket.h"

struct throttled_log {
    pthread_mutex_t lock;
    struct bucket lines;
    uint32_t left_out;
};

#define THROTTLED_LOG_NEW ((struct throttled_log){.lock = PTHREAD_MUTEX_INITIALIZER})

/* log_line(), if it is time for one. */
void throttled_log_line(struct throttled_log *log, int priority, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* log_guest(), if it is time for one. */
void throttled_log_guest(struct throttled_log *log, int priority, uint32_t vmid, const char *event,
                         const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
