/* SPDX-License-Identifier: Apache-2.0 */
/* How often each guest may have a registry token minted, whether that succeeds or not. */
#ifndef FELHOM_MINT_PACE_H
#define FELHOM_MINT_PACE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct mint_pace {
    pthread_mutex_t lock; /* of what follows */
    struct mint_pause *pauses;
    size_t count;
};

void mint_pace_init(struct mint_pace *pace);
void mint_pace_destroy(struct mint_pace *pace);

/* 0: the guest may, and then this was it for five seconds. Else in how many seconds it may. */
uint32_t mint_pace_take(struct mint_pace *pace, uint32_t vmid, int64_t now_us);

#endif
