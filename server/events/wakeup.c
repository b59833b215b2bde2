/* SPDX-License-Identifier: Apache-2.0 */
#include "server/events/wakeup.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "server/base/context.h"
#include "server/hub/hub.h"
#include "server/jobs/jobs.h"
#include "server/registry/registry.h"
#include "store/base/log.h"
#include "store/base/nudge.h"

#define RECEIVE_PAUSE_US ((int64_t)10000) /* nudges are received once in this time */
#define WAKE_PAUSE_US    ((int64_t)50000) /* and the workers are woken once in this time */

void wakeup_workers(const struct context *context)
{
    jobs_wake(context->jobs);
    hub_wake(context->hub);
    registry_wake(context->registry);
}

bool identity_mark_moved(struct file_mark *mark, const char *state_dir)
{
    cleanup_free char *path = mem_format("%s/tls/agent.crt", state_dir);
    const struct file_mark now = file_mark_of(path);
    bool moved = now.inode != 0 && !file_mark_equals(&now, mark);
    *mark = now;
    return moved;
}

/* EPOLLONESHOT: epoll reports one nudge, and then none until this function is called again. */
static void wakeup_expect_nudge(struct wakeup *wakeup, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = wakeup};
    (void)epoll_ctl(wakeup->epoll_fd, operation, wakeup->nudge_fd, &event);
}

void wakeup_begin(struct wakeup *wakeup, struct context *context, int epoll_fd)
{
    struct error error;
    cleanup_server_config struct server_config *current = context_config(context);
    *wakeup = (struct wakeup){
        .context = context,
        .epoll_fd = epoll_fd,
        .nudge_fd = -1,
        .receive_us = WAKEUP_NEVER,
        .wake_us = WAKEUP_NEVER,
    };
    (void)identity_mark_moved(&wakeup->identity, current->config.paths.state);
    if (nudge_listen(current->config.paths.state, &wakeup->nudge_fd, &error) == 0)
        wakeup_expect_nudge(wakeup, EPOLL_CTL_ADD);
    else
        log_line(LOG_WARNING, "events will be noticed within a second only: %s", error.message);
}

void wakeup_end(struct wakeup *wakeup)
{
    cleanup_close_fn(&wakeup->nudge_fd);
}

static void wakeup_receive_nudges(struct wakeup *wakeup, int64_t now_us)
{
    (void)nudge_receive(wakeup->nudge_fd);
    wakeup->receive_us = now_us + RECEIVE_PAUSE_US;
    if (wakeup->wake_us == WAKEUP_NEVER)
        wakeup->wake_us = wakeup->woke_us + WAKE_PAUSE_US;
}

/* Signals the main thread if the certificate was replaced, because only the main thread may put
 * another one in force. */
static void wakeup_main_thread(struct wakeup *wakeup)
{
    cleanup_server_config struct server_config *current = context_config(wakeup->context);
    if (identity_mark_moved(&wakeup->identity, current->config.paths.state))
        (void)kill(getpid(), SIGNAL_NEW_IDENTITY);
}

void wakeup_handle(struct wakeup *wakeup, bool nudged, int64_t now_us)
{
    if (nudged)
        wakeup_receive_nudges(wakeup, now_us);
    if (now_us >= wakeup->receive_us) {
        wakeup_expect_nudge(wakeup, EPOLL_CTL_MOD);
        wakeup->receive_us = WAKEUP_NEVER;
    }
    if (now_us >= wakeup->wake_us) {
        wakeup_main_thread(wakeup);
        wakeup_workers(wakeup->context);
        wakeup->woke_us = now_us;
        wakeup->wake_us = WAKEUP_NEVER;
    }
}

int64_t wakeup_next_us(const struct wakeup *wakeup)
{
    return wakeup->receive_us < wakeup->wake_us ? wakeup->receive_us : wakeup->wake_us;
}
