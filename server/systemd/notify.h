/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What felhomd tells the service manager, by sd_notify(3)'s protocol: datagrams to the socket that
 * NOTIFY_SOCKET names. Without that variable these functions do nothing. A message that cannot be
 * sent is lost; nothing depends on it but the manager's view.
 */
#ifndef FELHOM_NOTIFY_H
#define FELHOM_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);
void notify_watchdog(void);

/* Sets the line that systemctl status shows to "waiting: REASON". ready: also lets the units that
 * are ordered after felhomd start, so that the wait does not hold the host's boot up. */
void notify_waiting(const char *reason, bool ready);

/* Has the manager keep the descriptor beyond our end, for the next felhomd; or drop all of that
 * name. name: no colon, at most 255 characters. */
void notify_keep(const char *name, int fd);
void notify_drop(const char *name);

/* How often the manager expects notify_watchdog, in microseconds; 0: not at all. */
uint64_t notify_watchdog_us(void);

#endif
