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

/* How often notify_watchdog is expected, in microseconds; 0: not at all. */
uint64_t notify_watchdog_us(void);

#endif
