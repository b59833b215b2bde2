/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages to the service manager by sd_notify(3)'s protocol: datagrams to the socket that
 * NOTIFY_SOCKET names. Without that variable these functions do nothing. A message that cannot be
 * sent is lost; felhomd itself depends on none of them.
 */
#ifndef FELHOM_NOTIFY_H
#define FELHOM_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);
void notify_watchdog(void);

/* Sets the line that systemctl status shows to "waiting: REASON". ready: also reports felhomd as
 * started, so that units ordered after it need not wait and the host's boot goes on. */
void notify_waiting(const char *reason, bool ready);

/* notify_keep has the manager keep the descriptor for the next felhomd; notify_drop has it drop all
 * descriptors of that name. name: no colon, at most 255 characters. */
void notify_keep(const char *name, int fd);
void notify_drop(const char *name);

/* Returns the interval at which the manager expects notify_watchdog, in microseconds; 0: it does
 * not expect it. */
uint64_t notify_watchdog_us(void);

#endif
