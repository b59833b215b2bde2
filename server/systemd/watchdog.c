/* SPDX-License-Identifier: Apache-2.0 */
#include "server/systemd/watchdog.h"

#include "server/systemd/notify.h"
#include "store/base/log.h"
#include "store/host/probe.h"

static void announce(void *context, const struct sockaddr_in *own)
{
    struct gate *gate = context;
    if (own)
        gate_expect(gate, own);
    else
        gate_expect_nobody(gate);
}

int self_probe_run(const struct self_probe *self, struct error *error)
{
    const struct probe probe = {
        .listening = self->listening,
        .pins = self->pins,
        .patience_us = self->patience_us,
        .announce = announce,
        .context = self->gate,
    };
    return probe_run(&probe, error);
}

#define PATIENCE_US ((int64_t)5000000)

/* Never more than half the watchdog's interval, so that there is a second try. */
static int64_t patience_us(uint64_t interval_us)
{
    int64_t half_us = (int64_t)(interval_us / 2);
    return half_us < PATIENCE_US ? half_us : PATIENCE_US;
}

static int ask_self(struct context *context, const struct pins *pins, uint64_t interval_us,
                    struct error *error)
{
    cleanup_server_config struct server_config *current = context_config(context);
    const struct self_probe probe = {
        .listening = current->address,
        .pins = *pins,
        .gate = context->gate,
        .patience_us = patience_us(interval_us),
    };
    return self_probe_run(&probe, error);
}

static void tell(struct watchdog *watchdog, struct context *context, bool failing,
                 const struct error *error)
{
    if (watchdog->failing == failing)
        return;
    watchdog->failing = failing;
    if (failing)
        throttled_log_line(&context->log, LOG_ERR, "felhomd does not answer itself: %s",
                           error->message);
    else
        throttled_log_line(&context->log, LOG_NOTICE, "felhomd answers itself again");
}

bool watchdog_feed(struct watchdog *watchdog, struct context *context, const struct pins *pins)
{
    struct error error;
    uint64_t interval_us = notify_watchdog_us();
    if (interval_us == 0)
        return true;
    bool failing = ask_self(context, pins, interval_us, &error) < 0;
    tell(watchdog, context, failing, &error);
    if (!failing)
        notify_watchdog();
    return !failing;
}
