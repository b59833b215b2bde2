/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the gate remembers of each source: a table of fixed size, whatever clients do. A source that
 * is not remembered yet takes the row of the one that was seen longest ago; a row with connections
 * is never taken. Time and locking are the caller's.
 */
#ifndef FELHOM_SOURCES_H
#define FELHOM_SOURCES_H

#include <stddef.h>
#include <stdint.h>

#include "server/base/limiter.h"
#include "server/net/peer.h"

/* The hash picks a set, and a source lives in any row of its set. */
#define SOURCES_PER_SET 16

/* As many kinds of refusal as a row keeps apart; the gate's of enum refusal_reason
 * come first in it, and fit. */
#define SOURCE_REFUSALS 8

/* Refusals that were not told of yet, and when one was last. */
struct source_refusal {
    int64_t told_us; /* 0: never */
    uint32_t untold;
};

struct source {
    uint64_t key; /* its hardware address or IPv4 address, and which of the two; 0: a free row */
    int64_t last_seen_us; /* by sources_claim */
    uint32_t connections;
    struct bucket arrivals; /* of connections */
    struct bucket requests;
    struct bucket failures;
    struct source_refusal refusals[SOURCE_REFUSALS];
};

struct sources;

/* A table of sets * SOURCES_PER_SET rows, all free. The caller ends it with sources_free. */
struct sources *sources_new(uint32_t sets);
void sources_free(struct sources *sources);

/* The key of the peer's MAC where it is known, else of its address. Never 0. */
uint64_t source_key(const struct peer *peer);

/* The row of this source, a fresh one if it had none; NULL while every row it could have is taken
 * by connections. */
struct source *sources_claim(struct sources *sources, uint64_t key, int64_t now_us);

/* A row's number and the row of a number; valid as long as the source keeps its row. */
uint32_t sources_index(const struct sources *sources, const struct source *source);
struct source *sources_at(struct sources *sources, uint32_t index);

#endif
