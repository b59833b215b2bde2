/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the gate stores about each source of connections: a table of fixed size, whatever clients
 * do. A source that is not in the table yet takes the row of the source that was seen longest ago;
 * a row with connections is never taken. The caller passes the time and does the locking.
 */
#ifndef FELHOM_SOURCE_TABLE_H
#define FELHOM_SOURCE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "server/base/limiter.h"
#include "server/net/peer.h"

/* A hash of the key selects a set, and the source may use any row of that set. */
#define SOURCE_TABLE_WAYS 16

/* How many reasons of refusal a row counts separately; at least as many as enum refusal_reason
 * has. */
#define SOURCE_REFUSALS 10

/* The refusals for one reason that were not reported yet. */
struct source_refusal {
    int64_t reported_us; /* when the last report was made; 0: never */
    uint32_t unreported;
};

struct source {
    uint64_t key;         /* from source_key; 0: a free row */
    int64_t last_seen_us; /* set by source_table_claim */
    uint32_t connections;
    struct bucket arrivals; /* new connections */
    struct bucket requests;
    struct bucket failures; /* failed authentications */
    struct source_refusal refusals[SOURCE_REFUSALS];
};

struct source_table;

/* Makes a table of sets * SOURCE_TABLE_WAYS free rows. The caller ends it with source_table_free;
 * source_table_free(NULL) does nothing. */
struct source_table *source_table_new(uint32_t sets);
void source_table_free(struct source_table *table);

/* Returns a key made of the guest that the peer is, if that is known, else of its MAC on the link,
 * else of its IPv4 address. Never 0. */
uint64_t source_key(const struct peer *peer);

/* Returns the row of this source, a new one if it had none. Returns NULL while every row of its set
 * belongs to a source with connections. */
struct source *source_table_claim(struct source_table *table, uint64_t key, int64_t now_us);

/* Convert a row to its number and back. The number is valid as long as the source has
 * connections, because it keeps its row then. */
uint32_t source_table_index(const struct source_table *table, const struct source *source);
struct source *source_table_at(struct source_table *table, uint32_t index);

#endif
