/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/kept_answers.h"

#include <pthread.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

#define PLACES 1024 /* guests whose VMIDs are as far apart share one */

struct kept {
    struct kept_key key; /* VMID 0: nothing is kept here */
    struct buffer answer;
};

struct kept_answers {
    pthread_mutex_t lock; /* of all that follows */
    struct kept places[PLACES];
};

struct kept_answers *kept_answers_new(void)
{
    struct kept_answers *kept = mem_new(struct kept_answers);
    (void)pthread_mutex_init(&kept->lock, NULL);
    return kept;
}

void kept_answers_free(struct kept_answers *kept)
{
    if (!kept)
        return;
    for (size_t i = 0; i < PLACES; i++)
        buffer_free(&kept->places[i].answer);
    (void)pthread_mutex_destroy(&kept->lock);
    free(kept);
}

static bool is_same(const struct kept_key *one, const struct kept_key *other)
{
    return one->vmid == other->vmid && one->guest.generation == other->guest.generation &&
           one->guest.changed_at_ms == other->guest.changed_at_ms && one->setup == other->setup;
}

bool kept_answers_find(struct kept_answers *kept, const struct kept_key *key, struct buffer *out)
{
    const struct kept *place = &kept->places[key->vmid % PLACES];
    (void)pthread_mutex_lock(&kept->lock);
    bool found = is_same(&place->key, key);
    if (found)
        buffer_add(out, place->answer.data, place->answer.length);
    (void)pthread_mutex_unlock(&kept->lock);
    return found;
}

void kept_answers_put(struct kept_answers *kept, const struct kept_key *key,
                      const struct buffer *answer)
{
    struct kept *place = &kept->places[key->vmid % PLACES];
    if (answer->length > KEPT_ANSWER_LIMIT)
        return;
    (void)pthread_mutex_lock(&kept->lock);
    place->key = *key;
    buffer_free(&place->answer);
    buffer_add(&place->answer, answer->data, answer->length);
    (void)pthread_mutex_unlock(&kept->lock);
}
