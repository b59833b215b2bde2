/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nudge of a hook or of felhomctl (store/base/nudge.h), and whom it wakes: the waiters' thread,
 * which receives it, passes it on to the background workers (jobs, hub, registry), and to the main
 * thread where the certificate in STATE/tls was replaced. However many nudges arrive, each of these
 * is done a few times a second at most. Times are by clock_steady_us.
 */
#ifndef FELHOM_WAKEUP_H
#define FELHOM_WAKEUP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct context;

/* The signal that tells the main thread to look at STATE/tls. */
#define SIGNAL_NEW_IDENTITY SIGUSR1

/* Tells jobs, hub and registry, as far as they run, to look at the store and the configuration
 * again. */
void wakeup_workers(const struct context *context);

/* Remembers which certificate file was there. Zero-initialise. */
struct identity_mark {
    ino_t inode;
    struct timespec changed_at;
};

/* True if STATE/tls/agent.crt is not the file of the last call. A missing file does not count. */
bool identity_mark_moved(struct identity_mark *mark, const char *state_dir);

#define WAKEUP_NEVER INT64_MAX

/* Belongs to one thread. */
struct wakeup {
    struct context *context;
    int epoll_fd;
    int nudge_fd;       /* epoll reports it by the address of this struct; -1: no nudges arrive */
    int64_t receive_us; /* when to receive nudges again; WAKEUP_NEVER: we do */
    int64_t wake_us;    /* when to wake the workers; WAKEUP_NEVER: nothing to wake them for */
    int64_t woke_us;    /* when they were woken last */
    struct identity_mark identity;
};

/* Has epoll_fd report nudges. If nudges cannot be received, the log says so. Ends with wakeup_end.
 */
void wakeup_begin(struct wakeup *wakeup, struct context *context, int epoll_fd);
void wakeup_end(struct wakeup *wakeup);

/* To be called when epoll has reported a nudge (nudged), and when wakeup_next_us has come. */
void wakeup_handle(struct wakeup *wakeup, bool nudged, int64_t now_us);

/* When wakeup_handle has something to do without a nudge; WAKEUP_NEVER: not before one. */
int64_t wakeup_next_us(const struct wakeup *wakeup);

#endif
