/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two clocks of the project. Everything that is stored or shown uses the wall clock, in
 * milliseconds since 1970 UTC (_ms). Deadlines and durations within one process use the steady
 * clock, in microseconds (_us).
 */
#ifndef FELHOM_CLOCK_H
#define FELHOM_CLOCK_H

#include <stdint.h>

/* Returns the wall clock's time, for values that are stored and compared across restarts. */
int64_t clock_wall_ms(void);

/* Returns the time of a clock that is never set back, for deadlines and durations. */
int64_t clock_steady_us(void);

#endif
