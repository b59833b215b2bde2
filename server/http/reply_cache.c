/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/reply_cache.h"

#include <pthread.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "server/base/lock.h"

#define PLACES 1024 /* guests whose VMIDs differ by a multiple of it share one place */

struct cached_reply {
    struct reply_cache_key key; /* VMID 0: the place is empty */
    struct buffer answer;
};

struct reply_cache {
    pthread_mutex_t lock; /* guards the members below */
    struct cached_reply places[PLACES];
};

struct reply_cache *reply_cache_new(void)
{
    struct reply_cache *cache = mem_new(struct reply_cache);
    (void)pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

void reply_cache_free(struct reply_cache *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; i < PLACES; i++)
        buffer_free(&cache->places[i].answer);
    (void)pthread_mutex_destroy(&cache->lock);
    free(cache);
}

static bool reply_cache_key_equals(const struct reply_cache_key *one,
                                   const struct reply_cache_key *other)
{
    return one->vmid == other->vmid && one->guest.generation == other->guest.generation &&
           one->guest.changed_at_ms == other->guest.changed_at_ms &&
           one->config_serial == other->config_serial && one->guests_serial == other->guests_serial;
}

bool reply_cache_find(struct reply_cache *cache, const struct reply_cache_key *key,
                      struct buffer *out)
{
    const struct cached_reply *place = &cache->places[key->vmid % PLACES];
    lock_scope(&cache->lock);
    if (!reply_cache_key_equals(&place->key, key))
        return false;
    buffer_add(out, place->answer.data, place->answer.length);
    return true;
}

void reply_cache_put(struct reply_cache *cache, const struct reply_cache_key *key,
                     const struct buffer *body)
{
    struct cached_reply *place = &cache->places[key->vmid % PLACES];
    if (body->length > REPLY_CACHE_LIMIT)
        return;
    lock_scope(&cache->lock);
    place->key = *key;
    buffer_free(&place->answer);
    buffer_add(&place->answer, body->data, body->length);
}
