/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clocks of the project. Everything that is stored or shown uses the wall clock, in
 * milliseconds since 1970 UTC (_ms). Deadlines and durations within one process use the steady
 * clock, in microseconds (_us). What has to end after a time, whatever the wall clock is set to
 * meanwhile and whichever process looks, uses the time since the host's boot.
 */
#ifndef FELHOM_CLOCK_H
#define FELHOM_CLOCK_H

#include <stdint.h>

/* Returns the wall clock's time, for values that are stored and compared across restarts. */
int64_t clock_wall_ms(void);

/* Returns the time of a clock that is never set back, for deadlines and durations. */
int64_t clock_steady_us(void);

/* Returns the time since the host's boot, suspension included; the same for all processes. */
int64_t clock_boot_ms(void);

#endif
