/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/source_table.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "schema/base/memory.h"
#include "store/base/clock.h"

#define KEY_OF_HWADDR  ((uint64_t)1 << 56)
#define KEY_OF_ADDRESS ((uint64_t)2 << 56)
#define KEY_OF_GUEST   ((uint64_t)3 << 56)

struct source_table {
    uint32_t sets;
    uint64_t secret; /* as clients do not know it, they cannot choose an address that shares a set
                        with a victim */
    struct source *rows;
};

struct source_table *source_table_new(uint32_t sets)
{
    struct source_table *table = mem_new(struct source_table);
    table->sets = sets;
    table->rows = mem_new_array((size_t)sets * SOURCE_TABLE_WAYS, sizeof(struct source));
    if (getentropy(&table->secret, sizeof(table->secret)) < 0)
        table->secret = (uint64_t)clock_steady_us(); /* weak, but better than not serving */
    return table;
}

void source_table_free(struct source_table *table)
{
    if (!table)
        return;
    free(table->rows);
    free(table);
}

uint64_t source_key(const struct peer *peer)
{
    if (peer->vmid != 0 && peer->identity != PEER_ROUTED)
        return KEY_OF_GUEST | peer->vmid;
    /* Behind a router are many peers with its hardware address. */
    if (!peer->has_hwaddr || peer->identity == PEER_ROUTED)
        return KEY_OF_ADDRESS | ntohl(peer->address.sin_addr.s_addr);
    uint64_t key = 0;
    for (size_t i = 0; i < sizeof(peer->hwaddr.bytes); i++)
        key = key << 8 | peer->hwaddr.bytes[i];
    return KEY_OF_HWADDR | key;
}

/* The finalizer of splitmix64: whatever the secret is, each bit of the key changes half of the
 * others. */
static uint64_t mix(uint64_t bits)
{
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9U;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111ebU;
    return bits ^ bits >> 31;
}

static struct source *set_of(struct source_table *table, uint64_t key)
{
    uint64_t hash = mix(mix(key ^ table->secret) + table->secret);
    return &table->rows[hash % table->sets * SOURCE_TABLE_WAYS];
}

/* Free rows were last seen at 0, so they are taken first. */
static bool is_better_to_evict(const struct source *row, const struct source *evicted)
{
    return row->connections == 0 && (!evicted || row->last_seen_us < evicted->last_seen_us);
}

/* Returns the row with the key, else the row to reuse for it, else NULL. */
static struct source *find_row(struct source *set, uint64_t key)
{
    struct source *evicted = NULL;
    for (size_t i = 0; i < SOURCE_TABLE_WAYS; i++) {
        if (set[i].key == key)
            return &set[i];
        if (is_better_to_evict(&set[i], evicted))
            evicted = &set[i];
    }
    return evicted;
}

struct source *source_table_claim(struct source_table *table, uint64_t key, int64_t now_us)
{
    struct source *row = find_row(set_of(table, key), key);
    if (!row)
        return NULL;
    if (row->key != key)
        *row = (struct source){.key = key};
    row->last_seen_us = now_us;
    return row;
}

uint32_t source_table_index(const struct source_table *table, const struct source *source)
{
    return (uint32_t)(source - table->rows);
}

struct source *source_table_at(struct source_table *table, uint32_t index)
{
    return &table->rows[index];
}
