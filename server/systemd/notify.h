/* SPDX-License-Identifier: Apache-2.0 */
/* What the service manager is told (sd_notify(3)'s protocol). Without one, nothing happens. */
#ifndef FELHOM_NOTIFY_H
#define FELHOM_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);
void notify_watchdog(void);

/* One line for systemctl status. ready: what comes after us at boot need wait no longer. */
void notify_waiting(const char *reason, bool ready);

/* Has the manager keep the descriptor beyond our end, for the next felhomd; or drop those of that
 * name. name: no colon, at most 255 characters. */
void notify_keep(const char *name, int fd);
void notify_drop(const char *name);

/* How often notify_watchdog is expected, in microseconds; 0: not at all. */
uint64_t notify_watchdog_us(void);

#endif
