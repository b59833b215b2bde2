/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue in which hooks wait for the store.
 *
 * Who waits for SQLite's lock tries again and again, so that a thousand hooks at once, as after a
 * power cut, would keep each other from working. Here the kernel wakes them one by one, in the
 * order of their arrival: the queue is a file lock on RUN/hooks.lock, which the kernel releases
 * when its holder dies. Only hooks queue; felhomd and felhomctl go to SQLite directly and find at
 * most one hook there. Order of the locks: Proxmox's, the guest's, the queue, the store's.
 *
 * Waiting while others get on is no hanging, so the file says when a holder has last committed, and
 * the supervisor counts against hook.deadline only how long nobody has. A signal that interrupts
 * a waiter would cost it its place; the deadline is therefore kept by the supervisor, which kills.
 */
#ifndef FELHOM_QUEUE_H
#define FELHOM_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/error.h"

#define QUEUE_LOCK_FILE "hooks.lock"

/* How long a hook has waited; in memory that it shares with its supervisor. Zero-initialise. */
struct queue_wait {
    _Atomic int64_t since_us;  /* clock_steady_us() when the present wait began; 0: none */
    _Atomic int64_t waited_us; /* all waits that are over */
};

/* A place at the head of the queue. Zero-initialise. */
struct queue_place {
    bool taken;
    int fd; /* -1: there is no queue, so that it is good for nothing */
};

/* Waits for its turn and takes the place; at once if it is taken already. If the lock file cannot
 * be used, fails, and the place counts as taken: the caller goes on without a queue. */
int queue_enter(const struct config *config, struct queue_wait *wait, struct queue_place *place,
                struct error *error);

/* Notes that the holder has got something done. */
void queue_note_progress(const struct queue_place *place);

/* Lets the next one in, if the place is taken. */
void queue_leave(struct queue_place *place);

/*
 * When the hook has used up its time: clock_steady_us() at which it will have worked for
 * hook.deadline, or will have waited in a queue in which nobody got on; while others get on, two
 * minutes of waiting in all, or hook.deadline where that is longer. Waiting only moves it forward.
 */
int64_t queue_time_is_up_us(const struct config *config, const struct queue_wait *wait,
                            int64_t started_us);

/* True if the hook is waiting. */
bool queue_is_waiting(const struct queue_wait *wait);

#endif
