/* SPDX-License-Identifier: Apache-2.0 */
#include "server/daemon.h"

#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "schema/base/cleanup.h"
#include "schema/base/units.h"
#include "server/agent.h"
#include "server/base/host_figures.h"
#include "server/events/wakeup.h"
#include "server/sweep.h"
#include "server/systemd/notify.h"
#include "server/systemd/watchdog.h"
#include "store/base/clock.h"
#include "store/base/log.h"

#define SWEEP_US          (10 * SECOND_US)
#define RETRY_US          SECOND_US        /* once no answer came */
#define START_PATIENCE_US (15 * SECOND_US) /* the host's boot waits so long for us */

/* For the network, before anything can be listened on. */
struct waiting {
    int64_t since_us;
    struct error told;
};

/* What a daemon that listens does besides answering. */
struct duty {
    struct watchdog watchdog;
    struct sweep sweep;
    int64_t next_sweep_us;
};

/* Every thread inherits the mask, so that these reach nobody but wait_for_signal. */
static sigset_t block_signals(void)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigaddset(&signals, SIGNAL_NEW_IDENTITY);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    return signals;
}

/* 0: none came in that time. */
static int wait_for_signal(const sigset_t *signals, int64_t wait_us)
{
    const struct timespec wait = {wait_us / SECOND_US, wait_us % SECOND_US * 1000};
    int number = sigtimedwait(signals, NULL, &wait);
    return number > 0 ? number : 0;
}

static void reload(struct agent *agent)
{
    struct error error;
    if (agent_reload(agent, &error) < 0)
        log_line(LOG_ERR, "reload failed, the old configuration stays in force: %s", error.message);
    else
        log_line(LOG_NOTICE, "configuration reloaded");
}

/* To wait is all there is to do, so the watchdog is fed. What is waited for goes to the log once,
 * not once a second. */
static void tell_waiting(struct waiting *waiting, const struct error *error)
{
    bool holds_boot_up = clock_steady_us() - waiting->since_us < START_PATIENCE_US;
    notify_waiting(error->message, !holds_boot_up);
    notify_watchdog();
    if (strcmp(waiting->told.message, error->message) == 0)
        return;
    log_line(LOG_WARNING, "waiting: %s", error->message);
    waiting->told = *error;
}

/* Listens as soon as the address is there; nothing else is waited for. *ret_ended: the daemon was
 * told to end before the address was there. */
static int start(struct agent *agent, const sigset_t *signals, bool *ret_ended, struct error *error)
{
    struct waiting waiting = {.since_us = clock_steady_us()};
    while (agent_locate(agent, error) < 0) {
        if (error->kind != ERROR_MISSING)
            return -1;
        tell_waiting(&waiting, error);
        int number = wait_for_signal(signals, SECOND_US);
        if (number == SIGHUP)
            reload(agent);
        *ret_ended = number == SIGTERM || number == SIGINT;
        if (*ret_ended)
            return 0;
    }
    return agent_start(agent, error);
}

static void sweep(struct duty *duty, struct context *context)
{
    struct error error;
    cleanup_server_config struct server_config *current = context_config(context);
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(context->stores, &loan, &error) == 0 &&
        sweep_run(&duty->sweep, &current->config, loan.store, clock_steady_us(), clock_wall_ms(),
                  &error) == 0)
        return;
    store_loan_failed(&loan, &error);
    throttled_log_line(&context->log, LOG_ERR, "the sweep for stopped guests failed: %s",
                       error.message);
}

/* Twice in the watchdog's interval, and often enough for the sweep; never more than once a second.
 */
static int64_t tick_us(void)
{
    int64_t half_us = (int64_t)(notify_watchdog_us() / 2);
    if (half_us == 0 || half_us > SWEEP_US)
        return SWEEP_US;
    return half_us < SECOND_US ? SECOND_US : half_us;
}

static void sweep_if_due(struct agent *agent, struct duty *duty)
{
    if (clock_steady_us() < duty->next_sweep_us)
        return;
    sweep(duty, &agent->context);
    agent_follow_identity(agent);
    host_figures_sample(agent->context.figures);
    /* What a burst of connections has left free in the heap goes back to the system. */
    (void)malloc_trim(0);
    duty->next_sweep_us = clock_steady_us() + SWEEP_US;
}

/* How long the next tick may be waited for. */
static int64_t tick(struct agent *agent, struct duty *duty)
{
    bool answers = watchdog_feed(&duty->watchdog, &agent->context, &agent->pins);
    sweep_if_due(agent, duty);
    return answers ? tick_us() : RETRY_US;
}

/* Returns when the daemon was told to end. */
static int serve(struct agent *agent, struct duty *duty, const sigset_t *signals,
                 struct error *error)
{
    for (;;) {
        int number = wait_for_signal(signals, tick(agent, duty));
        if (number == SIGTERM || number == SIGINT)
            return 0;
        if (number == SIGNAL_NEW_IDENTITY)
            agent_follow_identity(agent);
        if (number != SIGHUP)
            continue;
        notify_reloading();
        reload(agent);
        if (!agent_listens(agent))
            return fail(error, ERROR_SYSTEM, "nothing is listened on any more, see above");
        notify_ready();
    }
}

int daemon_run(struct error *error)
{
    bool ended = false;
    struct agent agent;
    struct duty duty = {0};
    const sigset_t signals = block_signals();
    int result = agent_open(&agent, error);
    if (result == 0)
        result = start(&agent, &signals, &ended, error);
    if (result == 0 && !ended) {
        notify_ready();
        result = serve(&agent, &duty, &signals, error);
    }
    notify_stopping();
    agent_stop(&agent);
    agent_close(&agent);
    sweep_clear(&duty.sweep);
    return result;
}
