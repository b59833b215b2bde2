/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/sources.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "schema/base/memory.h"
#include "store/base/clock.h"

#define KEY_OF_HWADDR  ((uint64_t)1 << 56)
#define KEY_OF_ADDRESS ((uint64_t)2 << 56)

struct sources {
    uint32_t sets;
    uint64_t secret; /* odd; unknown to clients, so that they can't choose to share a set with a
                        victim */
    struct source *rows;
};

struct sources *sources_new(uint32_t sets)
{
    struct sources *sources = mem_new(struct sources);
    sources->sets = sets;
    sources->rows = mem_new_array((size_t)sets * SOURCES_PER_SET, sizeof(struct source));
    if (getentropy(&sources->secret, sizeof(sources->secret)) < 0)
        sources->secret = (uint64_t)clock_steady_us(); /* weak, but no reason not to serve */
    sources->secret |= 1;
    return sources;
}

void sources_free(struct sources *sources)
{
    if (!sources)
        return;
    free(sources->rows);
    free(sources);
}

uint64_t source_key(const struct peer *peer)
{
    if (!peer->has_hwaddr)
        return KEY_OF_ADDRESS | ntohl(peer->address.sin_addr.s_addr);
    uint64_t key = 0;
    for (size_t i = 0; i < sizeof(peer->hwaddr.bytes); i++)
        key = key << 8 | peer->hwaddr.bytes[i];
    return KEY_OF_HWADDR | key;
}

static struct source *set_of(struct sources *sources, uint64_t key)
{
    uint64_t hash = (key * sources->secret) >> 32;
    return &sources->rows[hash % sources->sets * SOURCES_PER_SET];
}

/* Free rows were seen at 0, hence are taken first. */
static bool is_better_victim(const struct source *row, const struct source *victim)
{
    return row->connections == 0 && (!victim || row->last_seen_us < victim->last_seen_us);
}

/* The row that has the key, else the one to take for it, else NULL. */
static struct source *find_row(struct source *set, uint64_t key)
{
    struct source *victim = NULL;
    for (size_t i = 0; i < SOURCES_PER_SET; i++) {
        if (set[i].key == key)
            return &set[i];
        if (is_better_victim(&set[i], victim))
            victim = &set[i];
    }
    return victim;
}

struct source *sources_claim(struct sources *sources, uint64_t key, int64_t now_us)
{
    struct source *row = find_row(set_of(sources, key), key);
    if (!row)
        return NULL;
    if (row->key != key)
        *row = (struct source){.key = key};
    row->last_seen_us = now_us;
    return row;
}

uint32_t sources_index(const struct sources *sources, const struct source *source)
{
    return (uint32_t)(source - sources->rows);
}

struct source *sources_at(struct sources *sources, uint32_t index)
{
    return &sources->rows[index];
}
