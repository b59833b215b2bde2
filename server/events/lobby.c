/* SPDX-License-Identifier: Apache-2.0 */
#include "server/events/lobby.h"

#include <sys/eventfd.h>

#include "schema/base/cleanup.h"

void lobby_init(struct lobby *lobby, uint32_t places)
{
    *lobby = (struct lobby){
        .places = places,
        .bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .mode = LOBBY_OPEN,
    };
    (void)pthread_mutex_init(&lobby->lock, NULL);
    (void)pthread_cond_init(&lobby->left, NULL);
}

void lobby_destroy(struct lobby *lobby)
{
    cleanup_close_fn(&lobby->bell_fd);
    (void)pthread_cond_destroy(&lobby->left);
    (void)pthread_mutex_destroy(&lobby->lock);
}

bool lobby_take_place(struct lobby *lobby)
{
    (void)pthread_mutex_lock(&lobby->lock);
    bool taken = lobby->mode == LOBBY_OPEN && lobby->taken < lobby->places;
    lobby->taken += taken;
    (void)pthread_mutex_unlock(&lobby->lock);
    return taken;
}

void lobby_leave_place(struct lobby *lobby)
{
    (void)pthread_mutex_lock(&lobby->lock);
    lobby->taken--;
    (void)pthread_cond_signal(&lobby->left);
    (void)pthread_mutex_unlock(&lobby->lock);
}

uint32_t lobby_taken(struct lobby *lobby)
{
    (void)pthread_mutex_lock(&lobby->lock);
    uint32_t taken = lobby->taken;
    (void)pthread_mutex_unlock(&lobby->lock);
    return taken;
}

static void ring(const struct lobby *lobby)
{
    (void)eventfd_write(lobby->bell_fd, 1);
}

void lobby_arrive(struct lobby *lobby, struct parked *parked)
{
    (void)pthread_mutex_lock(&lobby->lock);
    parked->next = lobby->arrivals;
    lobby->arrivals = parked;
    (void)pthread_mutex_unlock(&lobby->lock);
    ring(lobby);
}

struct parked *lobby_collect(struct lobby *lobby, bool *ret_open)
{
    eventfd_t scrap;
    (void)eventfd_read(lobby->bell_fd, &scrap);
    (void)pthread_mutex_lock(&lobby->lock);
    struct parked *arrivals = steal(lobby->arrivals);
    *ret_open = lobby->mode == LOBBY_OPEN;
    (void)pthread_mutex_unlock(&lobby->lock);
    return arrivals;
}

void lobby_set_mode(struct lobby *lobby, enum lobby_mode mode)
{
    (void)pthread_mutex_lock(&lobby->lock);
    lobby->mode = mode;
    (void)pthread_mutex_unlock(&lobby->lock);
    ring(lobby);
}

void lobby_wait_empty(struct lobby *lobby)
{
    (void)pthread_mutex_lock(&lobby->lock);
    while (lobby->taken > 0)
        (void)pthread_cond_wait(&lobby->left, &lobby->lock);
    (void)pthread_mutex_unlock(&lobby->lock);
}

bool lobby_is_over(struct lobby *lobby)
{
    (void)pthread_mutex_lock(&lobby->lock);
    bool over = lobby->mode == LOBBY_ENDING && lobby->taken == 0;
    (void)pthread_mutex_unlock(&lobby->lock);
    return over;
}
