/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receives nudges, and wakes whoever has to look at the store again.
 *
 * Whoever has committed something to the store (a hook, felhomctl, a thread of felhomd) sends a
 * nudge (store/base/nudge.h). The waiters' thread receives it, and passes it on to the background
 * workers (jobs, hub, registry) and, if the certificate in STATE/tls was replaced, to the main
 * thread. However many nudges arrive, they are received at most 100 times and the workers woken at
 * most 20 times a second. Times are by clock_steady_us.
 */
#ifndef FELHOM_WAKEUP_H
#define FELHOM_WAKEUP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "store/files/file.h"

struct context;

/* The signal on which the main thread looks at STATE/tls. */
#define SIGNAL_NEW_IDENTITY SIGUSR1

/* Has those of jobs, hub and registry that run look at the store and the configuration again.
 * Any thread may call it. */
void wakeup_workers(const struct context *context);

/* True if STATE/tls/agent.crt is another file than at the last call, or was changed since. False
 * if there is no such file; the mark's inode is then 0. Before the first call the mark is zero. */
bool identity_mark_moved(struct file_mark *mark, const char *state_dir);

#define WAKEUP_NEVER INT64_MAX

/* The state of the waiters' thread that these functions keep. */
struct wakeup {
    struct context *context;
    int epoll_fd;
    int nudge_fd;       /* epoll reports it by the address of this struct; -1: no nudges arrive */
    int64_t receive_us; /* when to watch for nudges again; WAKEUP_NEVER: epoll watches already */
    int64_t wake_us;    /* when to wake the workers; WAKEUP_NEVER: no nudge has come */
    int64_t woke_us;    /* when the workers were last woken */
    struct file_mark identity;
};

/* Has epoll_fd, which is borrowed, report nudges. If nudges cannot be received, the log says so.
 * Ends with wakeup_end. */
void wakeup_begin(struct wakeup *wakeup, struct context *context, int epoll_fd);
void wakeup_end(struct wakeup *wakeup);

/* To be called when epoll has reported a nudge (nudged is true), and when the time
 * wakeup_next_us has come. */
void wakeup_handle(struct wakeup *wakeup, bool nudged, int64_t now_us);

/* Returns when to call wakeup_handle without a nudge; WAKEUP_NEVER: only after a nudge. */
int64_t wakeup_next_us(const struct wakeup *wakeup);

#endif
