/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's log: entries with fields where the journal reads our standard error, else lines on
 * standard error with a <N> priority that it understands. Never given a secret. */
#ifndef FELHOM_LOG_H
#define FELHOM_LOG_H

#include <stdint.h>
#include <syslog.h>

/* priority: LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO or LOG_DEBUG. One line; control characters
 * are shown as '?'. */
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same about a guest (0: none). event: what happened to it, by the names of the audit trail. */
void log_guest(int priority, uint32_t vmid, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
