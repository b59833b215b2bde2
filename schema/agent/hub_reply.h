/* SPDX-License-Identifier: Apache-2.0 */
/* Parses the hub's reply to a host's report. The agent acts on poll_seconds only: it is when the
 * next report is due. felhomd logs the other members when they change. */
#ifndef FELHOM_HUB_REPLY_H
#define FELHOM_HUB_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/error.h"

/* Bounds of poll_seconds: a lower or higher number from the hub is clamped. */
#define HUB_POLL_SECONDS_MIN 60
#define HUB_POLL_SECONDS_MAX 3600

#define HUB_GENERATION_NONE (-1)

struct hub_reply {
    uint32_t poll_seconds; /* the hub's poll_interval_seconds within the bounds; 0: not given */
    bool blocked;          /* this and the following members are logged but not acted on */
    int64_t desired_generation; /* HUB_GENERATION_NONE: not given */
    bool has_signed_ops;
};

/* Reads length bytes as a JSON object; keys that are missing or have another type count as not
 * given. An empty reply gives nothing. Anything else fails with ERROR_INVALID. */
int hub_reply_parse(const char *text, size_t length, struct hub_reply *ret, struct error *error);

bool hub_reply_equals(const struct hub_reply *a, const struct hub_reply *b);

#endif
