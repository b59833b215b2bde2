/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/reaction.h"

#include "store/base/clock.h"
#include "store/documents/settings.h"
#include "store/tables/event.h"

/* Left for saying so, once the lock was not to be had. */
#define BUSY_MARGIN_MS 100

static uint32_t busy_ms(const struct reaction *reaction)
{
    int64_t spent = (clock_steady_us() - reaction->started_us) / 1000;
    int64_t left = (int64_t)reaction->config->hook.deadline_ms - spent - BUSY_MARGIN_MS;
    return left > 0 ? (uint32_t)left : 1;
}

int reaction_open_store(struct reaction *reaction, struct error *error)
{
    if (reaction->store)
        return 0;
    return store_open(reaction->config->paths.state, STORE_OPEN_CREATE, busy_ms(reaction),
                      &reaction->store, error);
}

int reaction_read_enrolment(struct reaction *reaction, struct error *error)
{
    if (reaction->enrolment.data)
        return 0;
    return settings_read_enrolment(reaction->config, reaction->vmid, &reaction->enrolment, error);
}

void reaction_end(struct reaction *reaction)
{
    store_close(reaction->store);
    buffer_free(&reaction->enrolment);
}

int reaction_event(struct reaction *reaction, const char *kind, const char *outcome,
                   const char *detail, struct error *error)
{
    struct event event = {
        .at_ms = clock_wall_ms(),
        .vmid = reaction->vmid,
        .kind = kind,
        .outcome = outcome,
        .detail = detail,
        .duration_us = clock_steady_us() - reaction->started_us,
    };
    return event_add(reaction->store, &event, error);
}

int reaction_phase_event(struct reaction *reaction, struct error *error)
{
    const struct report *report = reaction->report;
    if (report->problem_count > 0)
        return reaction_event(reaction, reaction->phase, "warning", report->problems[0], error);
    return reaction_event(reaction, reaction->phase, "ok", "", error);
}

double reaction_elapsed_ms(const struct reaction *reaction)
{
    return (double)(clock_steady_us() - reaction->started_us) / 1000.0;
}
