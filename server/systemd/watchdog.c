/* SPDX-License-Identifier: Apache-2.0 */
#include "server/systemd/watchdog.h"

#include "schema/base/units.h"
#include "server/systemd/notify.h"
#include "store/base/log.h"
#include "store/host/probe.h"

#define SELF_TEST_TIMEOUT_US (5 * SECOND_US)

/* Returns at most half the watchdog's interval, so that there is time for a second try. */
static int64_t self_test_timeout_us(uint64_t interval_us)
{
    int64_t half_us = (int64_t)(interval_us / 2);
    return half_us < SELF_TEST_TIMEOUT_US ? half_us : SELF_TEST_TIMEOUT_US;
}

static void announce_probe(void *context, const struct sockaddr_in *own)
{
    struct gate *gate = context;
    if (own)
        gate_expect(gate, own);
    else
        gate_expect_nobody(gate);
}

int watchdog_self_test(const struct sockaddr_in *listening, const struct pins *pins,
                       struct gate *gate, int64_t timeout_us, struct error *error)
{
    const struct probe probe = {
        .listening = *listening,
        .pins = *pins,
        .timeout_us = timeout_us,
        .announce = announce_probe,
        .context = gate,
    };
    struct error problem;
    if (probe_run(&probe, &problem) == 0)
        return 0;
    if (problem.kind == ERROR_CONFLICT)
        return 0; /* another felhomd could not read the store either */
    *error = problem;
    return -1;
}

/* Logs changes only. error: NULL if the test succeeded. */
static void log_self_test(struct watchdog *watchdog, struct throttled_log *log,
                          const struct error *error)
{
    bool failing = error != NULL;
    if (watchdog->failing == failing)
        return;
    watchdog->failing = failing;
    if (failing)
        throttled_log_line(log, LOG_ERR, "felhomd's self-test failed: %s", error->message);
    else
        throttled_log_line(log, LOG_NOTICE, "felhomd's self-test succeeds again");
}

bool watchdog_feed(struct watchdog *watchdog, struct context *context, const struct pins *pins)
{
    struct error error;
    uint64_t interval_us = notify_watchdog_us();
    if (interval_us == 0)
        return true;
    cleanup_server_config struct server_config *config = context_config(context);
    bool answers = watchdog_self_test(&config->address, pins, context->gate,
                                      self_test_timeout_us(interval_us), &error) == 0;
    log_self_test(watchdog, &context->log, answers ? NULL : &error);
    if (answers)
        notify_watchdog();
    return answers;
}
