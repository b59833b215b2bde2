/* SPDX-License-Identifier: Apache-2.0 */
/* What the hub answers to a host's report. */
#ifndef FELHOM_HUB_REPLY_H
#define FELHOM_HUB_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/error.h"

/* The bounds of poll_seconds, whatever the hub says. */
#define HUB_POLL_SECONDS_MIN 60
#define HUB_POLL_SECONDS_MAX 3600

#define HUB_GENERATION_NONE (-1)

struct hub_reply {
    uint32_t poll_seconds; /* poll_interval_seconds within its bounds; 0: not said */
    bool blocked;          /* this and what follows is read, told in the log, and not acted on */
    int64_t desired_generation; /* HUB_GENERATION_NONE: not said */
    bool has_signed_ops;
};

/* Reads length bytes: a JSON object, of which keys that are missing or of another type count as not
 * said; or nothing at all. ERROR_INVALID for anything else. */
int hub_reply_parse(const char *text, size_t length, struct hub_reply *ret, struct error *error);

bool hub_reply_equals(const struct hub_reply *a, const struct hub_reply *b);

#endif
