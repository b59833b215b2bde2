/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/reaction.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "schema/base/cleanup.h"
#include "schema/base/text.h"
#include "store/base/clock.h"
#include "store/db/token_record.h"
#include "store/tables/event.h"

/* What is left of the deadline for reporting that the store's lock could not be had. */
#define BUSY_MARGIN_MS 100

struct report *report_new(void)
{
    void *memory = mmap(NULL, sizeof(struct report), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void report_line(struct report *report, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(report->line, sizeof report->line, format, args);
    va_end(args);
    text_mask(report->line);
}

void report_problem(struct report *report, const char *format, ...)
{
    if (report->problem_count >= REPORT_PROBLEMS_MAX)
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(report->problems[report->problem_count], sizeof report->problems[0], format,
                    args);
    va_end(args);
    text_mask(report->problems[report->problem_count]);
    report->problem_count++;
}

void report_failure(struct report *report, const struct error *error)
{
    /* The reason goes first: the warnings before it only led up to it. */
    memmove(report->problems[1], report->problems[0],
            sizeof report->problems - sizeof report->problems[0]);
    if (report->problem_count < REPORT_PROBLEMS_MAX)
        report->problem_count++;
    (void)snprintf(report->problems[0], sizeof report->problems[0], "%s", error->message);
    report->outcome = error->kind == ERROR_FOREIGN ? REPORT_BLOCKED : REPORT_FAILED;
}

static uint32_t lock_wait_ms(const struct reaction *reaction)
{
    int64_t spent = (clock_steady_us() - reaction->started_us) / 1000;
    int64_t left = (int64_t)reaction->config->hook.deadline_ms - spent - BUSY_MARGIN_MS;
    return left > 0 ? (uint32_t)left : 1;
}

int reaction_open_store(struct reaction *reaction, struct error *error)
{
    if (reaction->store)
        return 0;
    token_record_use(reaction->config->paths.run);
    return store_open(reaction->config->paths.state, STORE_OPEN_CREATE, lock_wait_ms(reaction),
                      &reaction->store, error);
}

void reaction_take_turn(struct reaction *reaction)
{
    struct error error;
    struct report *report = reaction->report;
    if (queue_enter(reaction->config, &report->queue, &reaction->place, &error) < 0)
        report_problem(report, "%s; going on without a queue", error.message);
}

int reaction_begin(struct reaction *reaction, struct transaction *ret, struct error *error)
{
    reaction_take_turn(reaction);
    return transaction_begin(reaction->store, ret, error);
}

int reaction_commit(struct reaction *reaction, struct transaction *transaction, struct error *error)
{
    if (transaction_commit(transaction, error) < 0)
        return -1;
    queue_note_progress(&reaction->place);
    return 0;
}

void reaction_yield(struct reaction *reaction)
{
    queue_leave(&reaction->place);
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

/* --- the phases --- */

/* Nothing is printed in post-stop: Proxmox loses it, and a full pipe would hang the stop. */
static const struct phase phases[] = {
    /* name          reaction          can block  line   problems  asks again */
    {"pre-start", react_pre_start, true, true, true, false},
    {"post-start", react_post_start, false, false, true, true},
    {"pre-stop", react_pre_stop, false, false, true, false},
    {"post-stop", react_post_stop, false, false, false, false},
};

const struct phase *phase_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(phases); i++)
        if (strcmp(phases[i].name, name) == 0)
            return &phases[i];
    return NULL;
}
