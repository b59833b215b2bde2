/* SPDX-License-Identifier: Apache-2.0 */
/* Time as the store writes it: milliseconds since 1970, UTC. */
#ifndef FELHOM_CLOCK_H
#define FELHOM_CLOCK_H

#include <stdint.h>

/* The wall clock; for what is stored and compared across restarts. */
int64_t clock_wall_ms(void);

/* A clock that only goes forward; for deadlines and durations. */
int64_t clock_steady_us(void);

#endif
