/* SPDX-License-Identifier: Apache-2.0 */
/* Where connections that are to wait are handed from their workers to the watch's thread. Counts
 * those that wait, from their coming to their end. Safe to use from many threads. */
#ifndef FELHOM_LOBBY_H
#define FELHOM_LOBBY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/events/parked.h"

enum lobby_mode {
    LOBBY_OPEN,
    LOBBY_CLOSED, /* nobody may wait */
    LOBBY_ENDING, /* and nobody ever will again */
};

struct lobby {
    uint32_t places;
    int bell_fd;          /* an eventfd: somebody arrived, or the mode is another */
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t left;
    enum lobby_mode mode;
    uint32_t taken;
    struct parked *arrivals;
};

/* An open one. Ends with lobby_destroy. */
void lobby_init(struct lobby *lobby, uint32_t places);
void lobby_destroy(struct lobby *lobby);

/* False where it is full or not open. Every place taken is left once. */
bool lobby_take_place(struct lobby *lobby);
void lobby_leave_place(struct lobby *lobby);

/* How many places are taken now. */
uint32_t lobby_taken(struct lobby *lobby);

/* Hands one over who has taken a place. */
void lobby_arrive(struct lobby *lobby, struct parked *parked);

/* Takes all that have arrived, linked by their next. */
struct parked *lobby_collect(struct lobby *lobby, bool *ret_open);

void lobby_set_mode(struct lobby *lobby, enum lobby_mode mode);

/* Waits until every place is free. */
void lobby_wait_empty(struct lobby *lobby);

/* Whether it is ending, and empty. */
bool lobby_is_over(struct lobby *lobby);

#endif
