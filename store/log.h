/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's log: lines on standard error with a <N> priority that the journal understands. Never
 * given a secret. */
#ifndef FELHOM_LOG_H
#define FELHOM_LOG_H

#include <syslog.h>

/* priority: LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO or LOG_DEBUG. One line; control characters
 * are shown as '?'. */
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
