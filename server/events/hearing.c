/* SPDX-License-Identifier: Apache-2.0 */
#include "server/events/hearing.h"

#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "server/agent.h"
#include "store/base/log.h"
#include "store/base/nudge.h"

#define HEAR_PAUSE_US ((int64_t)10000) /* however many nudges come, they are heard once in this */
#define WAKE_PAUSE_US ((int64_t)50000) /* and the workers are woken once in this */

/* Until told again, epoll says nothing more of it once it has. */
static void listen_again(struct hearing *hearing, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = hearing};
    (void)epoll_ctl(hearing->epoll_fd, operation, hearing->nudge_fd, &event);
}

void hearing_begin(struct hearing *hearing, struct agent *agent, int epoll_fd)
{
    struct error error;
    cleanup_setup struct setup *setup = agent_setup(agent);
    *hearing = (struct hearing){
        .agent = agent,
        .epoll_fd = epoll_fd,
        .nudge_fd = -1,
        .hear_us = HEARING_NEVER,
        .wake_us = HEARING_NEVER,
    };
    (void)identity_mark_moved(&hearing->identity, setup->config.paths.state);
    if (nudge_listen(setup->config.paths.state, &hearing->nudge_fd, &error) == 0)
        listen_again(hearing, EPOLL_CTL_ADD);
    else
        log_line(LOG_WARNING, "events will be noticed within a second only: %s", error.message);
}

void hearing_end(struct hearing *hearing)
{
    cleanup_close_fn(&hearing->nudge_fd);
}

static void hear(struct hearing *hearing, int64_t now_us)
{
    (void)nudge_receive(hearing->nudge_fd);
    hearing->hear_us = now_us + HEAR_PAUSE_US;
    if (hearing->wake_us == HEARING_NEVER)
        hearing->wake_us = hearing->woke_us + WAKE_PAUSE_US;
}

/* The certificate is the main thread's to take up. */
static void tell_main(struct hearing *hearing)
{
    cleanup_setup struct setup *setup = agent_setup(hearing->agent);
    if (identity_mark_moved(&hearing->identity, setup->config.paths.state))
        (void)kill(getpid(), SIGNAL_NEW_IDENTITY);
}

void hearing_heed(struct hearing *hearing, bool nudged, int64_t now_us)
{
    if (nudged)
        hear(hearing, now_us);
    if (now_us >= hearing->hear_us) {
        listen_again(hearing, EPOLL_CTL_MOD);
        hearing->hear_us = HEARING_NEVER;
    }
    if (now_us >= hearing->wake_us) {
        tell_main(hearing);
        agent_wake_workers(hearing->agent);
        hearing->woke_us = now_us;
        hearing->wake_us = HEARING_NEVER;
    }
}

int64_t hearing_next_us(const struct hearing *hearing)
{
    return hearing->hear_us < hearing->wake_us ? hearing->hear_us : hearing->wake_us;
}
