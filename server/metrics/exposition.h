/* SPDX-License-Identifier: Apache-2.0 */
/* All that felhomd tells Prometheus, in one text. */
#ifndef FELHOM_EXPOSITION_H
#define FELHOM_EXPOSITION_H

#include <stdint.h>

#include "schema/base/buffer.h"

struct context;
struct hook_tally;

struct exposition {
    struct context *context; /* one that was started */
    struct hook_tally *hooks;
    int64_t started_ms; /* when felhomd was, by clock_wall_ms */
};

/* Adds it. Where the store can't be read, what it holds is left out, and felhom_store_up is 0. From
 * any thread. */
void exposition_write(const struct exposition *exposition, struct buffer *out);

#endif
