/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the gate remembers of each source of connections: a table of fixed size, whatever clients
 * do. A source that is not in the table yet takes the row of the one that was seen longest ago; a
 * row with connections is never taken. The caller brings the time, and locks.
 */
#ifndef FELHOM_SOURCE_TABLE_H
#define FELHOM_SOURCE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "server/base/limiter.h"
#include "server/net/peer.h"

/* A hash of the key picks a set, and the source may take any row of its set. */
#define SOURCE_TABLE_WAYS 16

/* How many kinds of refusal a row counts separately; enum refusal_reason fits. */
#define SOURCE_REFUSALS 8

/* The refusals of one kind that were not reported yet. */
struct source_refusal {
    int64_t reported_us; /* when the last report was made; 0: never */
    uint32_t unreported;
};

struct source {
    uint64_t key; /* its hardware address or IPv4 address, and which of the two; 0: a free row */
    int64_t last_seen_us; /* set by source_table_claim */
    uint32_t connections;
    struct bucket arrivals; /* of connections */
    struct bucket requests;
    struct bucket failures; /* of authentication */
    struct source_refusal refusals[SOURCE_REFUSALS];
};

struct source_table;

/* Makes a table of sets * SOURCE_TABLE_WAYS free rows. The caller ends it with source_table_free,
 * for which NULL is fine. */
struct source_table *source_table_new(uint32_t sets);
void source_table_free(struct source_table *table);

/* The key of the peer's MAC if that is known, else of its address. Never 0. */
uint64_t source_key(const struct peer *peer);

/* Returns the row of this source, a fresh one if it had none; NULL while every row of its set is
 * taken by sources with connections. */
struct source *source_table_claim(struct source_table *table, uint64_t key, int64_t now_us);

/* The number of a row, and the row of a number: valid as long as the source keeps its row, so for
 * as long as it has connections. */
uint32_t source_table_index(const struct source_table *table, const struct source *source);
struct source *source_table_at(struct source_table *table, uint32_t index);

#endif
