/* SPDX-License-Identifier: Apache-2.0 */
/* Units of time and size as constants whose suffix says what they count (_S, _MS, _US), and the
 * parser and the writer of durations such as "24h" in agent.yaml. */
#ifndef FELHOM_UNITS_H
#define FELHOM_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Seconds. */
#define MINUTE_S INT64_C(60)
#define HOUR_S   (60 * MINUTE_S)
#define DAY_S    (24 * HOUR_S)

/* Milliseconds. */
#define SECOND_MS  INT64_C(1000)
#define MINUTE_MS  (60 * SECOND_MS)
#define HOUR_MS    (60 * MINUTE_MS)
#define DAY_MS     (24 * HOUR_MS)
#define YEAR_MS    (365 * DAY_MS)
#define CENTURY_MS (100 * YEAR_MS)

/* Microseconds. */
#define US_PER_MS INT64_C(1000)
#define SECOND_US INT64_C(1000000)
#define MINUTE_US (60 * SECOND_US)
#define HOUR_US   (60 * MINUTE_US)

/* Bytes. */
#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* Reads a duration: digits followed by s, m, h or d, or "0" alone. Returns false for anything else
 * and for more than 100 years. */
bool duration_parse(const char *text, uint64_t *ret_ms);

/* Writes a duration as duration_parse reads it, in the largest unit of which it is a multiple; "0"
 * for less than a second. The caller frees the text with free(). */
char *duration_format(uint64_t ms);

#endif
