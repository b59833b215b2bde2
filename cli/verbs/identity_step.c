/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that reads its directory again between the steps never meets a certificate that it does
 * not know: stage has the directories name the next one beside the current one; switch has felhomd
 * show it, and only once that has said so do the directories name it alone.
 */
#include "cli/verbs/identity_step.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/steps.h"
#include "cli/verbs/telling.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/clock.h"
#include "store/base/nudge.h"
#include "store/host/endpoint.h"
#include "store/tables/guest.h"
#include "store/tables/host.h"

#define PATIENCE_US \
    ((int64_t)15000000) /* felhomd looks every ten seconds, even if a nudge is lost */
#define PAUSE_US 20000

/* The whole run. */
struct work {
    struct session session;
    struct steps steps;
    struct rollover rollover;
    struct vmids guests;
    struct vmids failed;
};

static void work_free(struct work *work)
{
    session_close(&work->session);
    steps_free(&work->steps);
    rollover_free(&work->rollover);
    vmids_free(&work->guests);
    vmids_free(&work->failed);
}

static const char *state_of(const struct work *work)
{
    return work->session.config.paths.state;
}

static int reload(struct work *work, struct error *error)
{
    rollover_free(&work->rollover);
    work->rollover = (struct rollover){0};
    return rollover_load(state_of(work), &work->rollover, error);
}

/* --- guests --- */

static void note(struct work *work, uint32_t vmid, enum step_outcome outcome, const char *what)
{
    steps_add_guest(&work->steps, outcome, vmid, "%s", what);
}

static void note_failure(struct work *work, uint32_t vmid, const char *what)
{
    note(work, vmid, STEP_WARNING, what);
    vmids_add(&work->failed, vmid);
}

static void tell(struct work *work, uint32_t vmid)
{
    struct telling telling;
    struct error problem;
    if (telling_run(&work->session, vmid, &telling, &problem) < 0)
        note_failure(work, vmid, problem.message);
    else if (telling.outcome == TELLING_DONE)
        note(work, vmid, STEP_DONE, "its directory names the pins");
    else if (telling.outcome == TELLING_ALREADY)
        note(work, vmid, STEP_ALREADY, "its directory names the pins already");
}

static void tell_all(struct work *work)
{
    for (size_t i = 0; i < work->guests.count; i++)
        tell(work, work->guests.items[i]);
}

/* It gets what chance there is: a guest that reads its directory in this moment. */
static void tell_late(struct work *work, uint32_t vmid)
{
    struct telling telling;
    struct error problem;
    bool told = telling_run(&work->session, vmid, &telling, &problem) == 0;
    cleanup_free char *what =
        mem_format("%s: until it reads its directory again it refuses the new certificate",
                   told ? "is told of it only now" : problem.message);
    note(work, vmid, STEP_WARNING, what);
}

static void tell_those_who_were_not(struct work *work)
{
    for (size_t i = 0; i < work->guests.count; i++) {
        if (telling_is_owed(&work->session, work->guests.items[i], &work->rollover.next))
            tell_late(work, work->guests.items[i]);
    }
}

/* --- felhomd --- */

static bool has_told(const struct work *work, struct pins *ret)
{
    struct host host;
    struct error ignored;
    if (host_get(work->session.store, &host, &ignored) < 0)
        return false;
    *ret = host.pins;
    return true;
}

static bool is_taken_up(const struct work *work)
{
    struct pins told;
    return !has_told(work, &told) ||
           rollover_shown(&work->rollover, &told) == &work->rollover.current;
}

/* Where it does not run nobody is shown anything, and it starts with the new one. */
static int have_it_taken_up(struct work *work, struct error *error)
{
    int64_t end_us = clock_steady_us() + PATIENCE_US;
    nudge_send(state_of(work));
    bool runs = nudge_has_listener(state_of(work));
    while (runs && !is_taken_up(work) && clock_steady_us() < end_us)
        (void)usleep(PAUSE_US);
    if (is_taken_up(work))
        return 0;
    if (runs)
        return fail(error, ERROR_BUSY,
                    "felhomd does not show the new certificate yet (journalctl -u felhomd tells "
                    "why); guests know both: felhomctl identity switch again");
    steps_add(&work->steps, STEP_WARNING, "felhomd",
              "does not run: guests know both certificates until felhomctl identity switch is run "
              "again after its start");
    return 0;
}

/* --- the steps --- */

static int record(struct work *work, bool changed, const char *what,
                  const struct identity *identity, struct error *error)
{
    steps_add(&work->steps, changed ? STEP_DONE : STEP_ALREADY, "identity", "%s", what);
    if (!changed)
        return 0;
    cleanup_free char *detail = mem_format("%s: leaf pin %s", what, identity->pins.leaf);
    return session_event(&work->session, 0, "identity", detail, error);
}

static int stage(struct work *work, struct error *error)
{
    const struct pins none = {.spki = ""};
    struct host host;
    struct sockaddr_in endpoint;
    bool changed;
    if (endpoint_resolve(&work->session.config, &endpoint, error) < 0 ||
        endpoint_describe_host(&work->session.config, &none, &host, error) < 0 ||
        rollover_stage(state_of(work), host.node, endpoint.sin_addr, &changed, error) < 0 ||
        reload(work, error) < 0 ||
        record(work, changed, "the next certificate is staged", &work->rollover.next, error) < 0)
        return -1;
    tell_all(work);
    return 0;
}

static int switch_over(struct work *work, struct error *error)
{
    bool changed;
    if (reload(work, error) < 0)
        return -1;
    if (rollover_has(&work->rollover.next))
        tell_those_who_were_not(work);
    if (rollover_switch(state_of(work), &changed, error) < 0 || reload(work, error) < 0 ||
        record(work, changed, "the next certificate is the current one", &work->rollover.current,
               error) < 0 ||
        have_it_taken_up(work, error) < 0)
        return -1;
    tell_all(work);
    return 0;
}

static int retire(struct work *work, struct error *error)
{
    bool changed;
    if (reload(work, error) < 0)
        return -1;
    if (!is_taken_up(work))
        return fail(error, ERROR_CONFLICT,
                    "felhomd has not shown the new certificate yet: start it, then felhomctl "
                    "identity switch");
    if (rollover_retire(state_of(work), &changed, error) < 0 ||
        record(work, changed, "the previous certificate is forgotten", &work->rollover.current,
               error) < 0)
        return -1;
    tell_all(work);
    return 0;
}

static int take_step(struct work *work, const char *name, struct error *error)
{
    static const struct {
        const char *name;
        int (*take)(struct work *work, struct error *error);
    } steps[] = {{"stage", stage}, {"switch", switch_over}, {"retire", retire}};
    if (session_open(&work->session, error) < 0 ||
        guest_each(work->session.store, vmids_keep, &work->guests, error) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        if (strcmp(steps[i].name, name) == 0 && steps[i].take(work, error) < 0)
            return -1;
    }
    return vmids_fail(&work->failed, "not all could be told", error);
}

const char *identity_step_next(const struct rollover *rollover, const struct pins *told)
{
    if (rollover_has(&rollover->next))
        return "felhomctl identity switch, once the guests have read their directories again";
    if (rollover_shown(rollover, told) == &rollover->previous)
        return "felhomctl identity switch again: felhomd does not show the certificate yet";
    if (rollover_has(&rollover->previous))
        return "felhomctl identity retire, once no guest is left that knows the previous one alone";
    return "none; felhomctl identity stage begins a rollover";
}

static json_t *next_of(struct work *work)
{
    struct error ignored;
    struct pins told;
    json_t *rest = json_object();
    if (work->session.store && reload(work, &ignored) == 0)
        output_put_text(rest, "next",
                        identity_step_next(&work->rollover, has_told(work, &told) ? &told : NULL));
    return rest;
}

int identity_step_run(const struct invocation *invocation, struct error *error)
{
    cleanup(work_free) struct work work = {.steps = steps_new()};
    int result = take_step(&work, invocation->word, error);
    cleanup_json json_t *rest = result == 0 ? next_of(&work) : NULL;
    steps_print(&work.steps, invocation, rest);
    return result;
}
