/* SPDX-License-Identifier: Apache-2.0 */
/* Times as every reply of the API tells them. */
#ifndef FELHOM_API_TIME_H
#define FELHOM_API_TIME_H

#include <jansson.h>
#include <stdint.h>

/* Milliseconds since 1970 as RFC 3339, UTC, whole seconds: "2026-11-23T10:00:00Z"; null for 0 and
 * less (not known) and for what has no year of four digits. A new reference. */
json_t *api_time(int64_t ms);

/* The same with the milliseconds: "2026-11-23T10:00:00.123Z". */
json_t *api_time_exact(int64_t ms);

#endif
