/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/mint_pace.h"

#include <stdlib.h>

#include "schema/base/memory.h"

#define SECOND_US ((int64_t)1000000)
#define PAUSE_US  (5 * SECOND_US)

struct mint_pause {
    uint32_t vmid;
    int64_t end_us;
};

void mint_pace_init(struct mint_pace *pace)
{
    *pace = (struct mint_pace){.count = 0};
    (void)pthread_mutex_init(&pace->lock, NULL);
}

void mint_pace_destroy(struct mint_pace *pace)
{
    free(pace->pauses);
    (void)pthread_mutex_destroy(&pace->lock);
}

static void forget_ended(struct mint_pace *pace, int64_t now_us)
{
    size_t kept = 0;
    for (size_t i = 0; i < pace->count; i++) {
        if (pace->pauses[i].end_us > now_us)
            pace->pauses[kept++] = pace->pauses[i];
    }
    pace->count = kept;
}

static int64_t pause_left_us(const struct mint_pace *pace, uint32_t vmid, int64_t now_us)
{
    for (size_t i = 0; i < pace->count; i++) {
        if (pace->pauses[i].vmid == vmid)
            return pace->pauses[i].end_us - now_us;
    }
    return 0;
}

static void add(struct mint_pace *pace, uint32_t vmid, int64_t end_us)
{
    pace->pauses = mem_resize(pace->pauses, pace->count + 1, sizeof *pace->pauses);
    pace->pauses[pace->count++] = (struct mint_pause){vmid, end_us};
}

uint32_t mint_pace_take(struct mint_pace *pace, uint32_t vmid, int64_t now_us)
{
    (void)pthread_mutex_lock(&pace->lock);
    forget_ended(pace, now_us);
    int64_t left_us = pause_left_us(pace, vmid, now_us);
    if (left_us == 0)
        add(pace, vmid, now_us + PAUSE_US);
    (void)pthread_mutex_unlock(&pace->lock);
    return (uint32_t)((left_us + SECOND_US - 1) / SECOND_US);
}
