/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity: shows what guests pin (endpoint, pins, certificate), or takes a step of a rollover to
 * another certificate. stage makes the next certificate and writes both to the directories of all
 * running guests; switch has felhomd show the next one; retire deletes the previous one. A step
 * that was cut short is completed by running it again.
 *
 * A step rewrites the directory of each running guest (struct pin_update) but keeps the token that
 * is in it. A rotation would rewrite the directory as well, but would make the guest change its
 * token, fill the audit trail with one event for each guest and step, and cut off a guest that
 * reads its directory less often than token.overlap. As no token is minted, a kill at any
 * instruction leaves nothing to undo: each file is whole and valid, either the old or the new one.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/base/output.h"
#include "cli/base/session.h"
#include "cli/base/steps.h"
#include "cli/base/verb.h"
#include "cli/verbs/report.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/clock.h"
#include "store/base/nudge.h"
#include "store/documents/documents.h"
#include "store/files/guest_directory.h"
#include "store/host/host.h"
#include "store/identity/identity.h"
#include "store/identity/rollover.h"
#include "store/tables/guest.h"
#include "store/tables/token.h"

#define IDENTITY_STEPS "stage|switch|retire"
#define NUDGE_WAIT_US  ((int64_t)15000000) /* felhomd looks every ten seconds without a nudge */
#define PAUSE_US       20000

/* --- one guest's directory --- */

enum pin_update_outcome {
    PIN_UPDATE_DONE,
    PIN_UPDATE_ALREADY,  /* the directory names the pins already */
    PIN_UPDATE_NOT_LIVE, /* the guest is stopped or has no token: its next start writes them */
};

struct pin_update {
    const struct session *session;
    uint32_t vmid;
    struct guest_directory directory;
    struct token_text token;
    struct document_sources sources;
    struct guest_files files;
};

static void pin_update_free(struct pin_update *update)
{
    token_text_wipe(&update->token);
    document_sources_free(&update->sources);
    guest_files_free(&update->files);
}

static const char *guests_dir(const struct pin_update *update)
{
    return update->session->config.paths.guests;
}

/* A token that has expired stays in the directory until a rotation; only a revoked one counts. */
static int pin_update_check_token(const struct pin_update *update, bool *ret_revoked,
                                  struct error *error)
{
    enum token_verdict verdict;
    if (token_recheck(update->session->store, update->directory.token_id, clock_wall_ms(), &verdict,
                      error) < 0)
        return -1;
    *ret_revoked = verdict != TOKEN_GOOD && verdict != TOKEN_EXPIRED;
    return 0;
}

static int pin_update_is_live(struct pin_update *update, bool *ret, struct error *error)
{
    struct guest guest;
    bool revoked;
    if (guest_directory_inspect(guests_dir(update), update->vmid, &update->directory, error) < 0 ||
        guest_find(update->session->store, update->vmid, &guest, error) < 0 ||
        pin_update_check_token(update, &revoked, error) < 0)
        return -1;
    *ret = update->directory.live && guest.state != GUEST_STOPPED && !revoked;
    return 0;
}

static int pin_update_render(struct pin_update *update, struct error *error)
{
    struct error fault; /* the guest's start has reported it */
    const struct config *config = &update->session->config;
    if (guest_directory_read_token(guests_dir(update), update->vmid, &update->token, error) < 0 ||
        document_sources_load(config, update->vmid, update->session->store, &update->sources,
                              error) < 0)
        return -1;
    documents_render(config, &update->sources, update->token.text, &update->files, &fault);
    return 0;
}

static bool directory_holds(const struct pin_update *update, const char *name,
                            const struct buffer *content)
{
    struct error ignored;
    cleanup_buffer struct buffer there = BUFFER_EMPTY;
    if (guest_directory_read(guests_dir(update), update->vmid, name, &there, &ignored) < 0)
        return content->length == 0 && ignored.kind == ERROR_MISSING;
    return buffer_equals(&there, content);
}

static bool directory_is_current(const struct pin_update *update)
{
    return directory_holds(update, "agent.crt", &update->files.agent_crt) &&
           directory_holds(update, "controller.yaml", &update->files.controller_yaml) &&
           directory_holds(update, "bootstrap.json", &update->files.bootstrap_json);
}

/* felhomd's sweep does not take the lock. If it scrubbed the directory meanwhile, the files that
 * were just written must be removed again. */
static int pin_update_check_still_live(const struct pin_update *update, struct error *error)
{
    bool revoked;
    if (pin_update_check_token(update, &revoked, error) < 0)
        return -1;
    if (!revoked)
        return 0;
    if (guest_directory_scrub(guests_dir(update), update->vmid, error) < 0)
        return -1;
    return fail(error, ERROR_CONFLICT, "guest %u: its token was revoked meanwhile", update->vmid);
}

static int pin_update_publish(const struct pin_update *update, struct error *error)
{
    const struct guest_directory *directory = &update->directory;
    cleanup(guest_drafts_free) struct guest_drafts drafts = {.dirfd = -1};
    if (guest_drafts_write(guests_dir(update), update->vmid, directory->uid, directory->gid,
                           &update->files, &drafts, error) < 0 ||
        guest_drafts_publish(&drafts, error) < 0)
        return -1;
    return pin_update_check_still_live(update, error);
}

/* Writes the guest's directory as pre-start would now, but with the token that it already has. */
static int pin_update_run(const struct session *session, uint32_t vmid,
                          enum pin_update_outcome *ret, struct error *error)
{
    cleanup(pin_update_free) struct pin_update update = {.session = session, .vmid = vmid};
    cleanup_close int lock = -1;
    bool live;
    if (guest_directory_lock(&session->config, vmid, &lock, error) < 0 ||
        pin_update_is_live(&update, &live, error) < 0 ||
        (live && pin_update_render(&update, error) < 0))
        return -1;
    if (!live)
        *ret = PIN_UPDATE_NOT_LIVE;
    else if (directory_is_current(&update))
        *ret = PIN_UPDATE_ALREADY;
    else if (pin_update_publish(&update, error) < 0)
        return -1;
    else
        *ret = PIN_UPDATE_DONE;
    return 0;
}

/* Whether the guest runs with a directory that does not name the certificate. If we cannot tell,
 * assume that it does. */
static bool pin_update_is_owed(const struct session *session, uint32_t vmid,
                               const struct identity *identity)
{
    bool live = true;
    struct error ignored;
    struct pin_update update = {.session = session, .vmid = vmid};
    cleanup_buffer struct buffer certificates = BUFFER_EMPTY;
    if (pin_update_is_live(&update, &live, &ignored) == 0 && !live)
        return false;
    return guest_directory_read(guests_dir(&update), vmid, "agent.crt", &certificates, &ignored) <
               0 ||
           !strstr(buffer_text(&certificates), buffer_text(&identity->certificate_pem));
}

/* --- the steps --- */

/* One step: stage, switch or retire. */
struct rollover_step {
    struct session session;
    struct steps steps;
    struct rollover rollover;
    struct vmids guests;
};

static void rollover_step_free(struct rollover_step *step)
{
    session_close(&step->session);
    steps_free(&step->steps);
    rollover_free(&step->rollover);
    vmids_free(&step->guests);
}

static const char *state_dir(const struct rollover_step *step)
{
    return step->session.config.paths.state;
}

static int reload_rollover(struct rollover_step *step, struct error *error)
{
    rollover_free(&step->rollover);
    step->rollover = (struct rollover){0};
    return rollover_load(state_dir(step), &step->rollover, error);
}

static void update_guest_pins(struct rollover_step *step, uint32_t vmid)
{
    enum pin_update_outcome outcome;
    struct error problem;
    if (pin_update_run(&step->session, vmid, &outcome, &problem) < 0)
        steps_add_failure(&step->steps, vmid, problem.message);
    else if (outcome != PIN_UPDATE_NOT_LIVE)
        steps_add_guest(&step->steps, outcome == PIN_UPDATE_DONE ? STEP_DONE : STEP_ALREADY, vmid,
                        "its directory names the pins%s",
                        outcome == PIN_UPDATE_DONE ? "" : " already");
}

static void update_all_pins(struct rollover_step *step)
{
    for (size_t i = 0; i < step->guests.count; i++)
        update_guest_pins(step, step->guests.items[i]);
}

/* Warns of a guest that did not have the new pin before this switch: it gets the pin now, but may
 * read its directory too late. */
static void update_pins_late(struct rollover_step *step, uint32_t vmid)
{
    enum pin_update_outcome outcome;
    struct error problem;
    bool updated = pin_update_run(&step->session, vmid, &outcome, &problem) == 0;
    steps_add_guest(&step->steps, STEP_WARNING, vmid,
                    "%s: until it reads its directory again it refuses the new certificate",
                    updated ? "its directory names the new certificate only now" : problem.message);
}

static void update_owed_pins(struct rollover_step *step)
{
    for (size_t i = 0; i < step->guests.count; i++) {
        if (pin_update_is_owed(&step->session, step->guests.items[i], &step->rollover.next))
            update_pins_late(step, step->guests.items[i]);
    }
}

static bool find_shown_pins(const struct rollover_step *step, struct pins *ret)
{
    struct host host;
    struct error ignored;
    if (host_get(step->session.store, &host, &ignored) < 0)
        return false;
    *ret = host.pins;
    return true;
}

static bool is_taken_up(const struct rollover_step *step)
{
    struct pins shown;
    return !find_shown_pins(step, &shown) ||
           rollover_shown(&step->rollover, &shown) == &step->rollover.current;
}

/* Waits until felhomd shows the current certificate. If felhomd does not run, no client is shown
 * anything, and felhomd will start with the current one. */
static int wait_until_taken_up(struct rollover_step *step, struct error *error)
{
    int64_t end_us = clock_steady_us() + NUDGE_WAIT_US;
    nudge_send(state_dir(step));
    bool runs = nudge_has_listener(state_dir(step));
    while (runs && !is_taken_up(step) && clock_steady_us() < end_us)
        (void)usleep(PAUSE_US);
    if (is_taken_up(step))
        return 0;
    if (runs)
        return fail(error, ERROR_BUSY,
                    "felhomd does not show the new certificate yet (journalctl -u felhomd says "
                    "why); guests know both certificates: run felhomctl identity switch again");
    steps_add(&step->steps, STEP_WARNING, "felhomd",
              "does not run: guests know both certificates until felhomctl identity switch is run "
              "again after its start");
    return 0;
}

static int record_step(struct rollover_step *step, bool changed, const char *what,
                       const struct identity *identity, struct error *error)
{
    steps_add(&step->steps, changed ? STEP_DONE : STEP_ALREADY, "identity", "%s", what);
    if (!changed)
        return 0;
    cleanup_free char *detail = mem_format("%s: leaf pin %s", what, identity->pins.leaf);
    return session_event(&step->session, 0, "identity", detail, error);
}

static int stage_identity(struct rollover_step *step, struct error *error)
{
    const struct pins none = {.spki = ""};
    struct host host;
    struct sockaddr_in endpoint;
    bool changed;
    if (host_endpoint(&step->session.config, &endpoint, error) < 0 ||
        host_describe(&step->session.config, &none, &host, error) < 0 ||
        rollover_stage(state_dir(step), host.node, endpoint.sin_addr, &changed, error) < 0 ||
        reload_rollover(step, error) < 0 ||
        record_step(step, changed, "the next certificate is staged", &step->rollover.next, error) <
            0)
        return -1;
    update_all_pins(step);
    return 0;
}

static int switch_identity(struct rollover_step *step, struct error *error)
{
    bool changed;
    if (reload_rollover(step, error) < 0)
        return -1;
    if (rollover_has(&step->rollover.next))
        update_owed_pins(step);
    if (rollover_switch(state_dir(step), &changed, error) < 0 || reload_rollover(step, error) < 0 ||
        record_step(step, changed, "the next certificate is the current one",
                    &step->rollover.current, error) < 0 ||
        wait_until_taken_up(step, error) < 0)
        return -1;
    update_all_pins(step);
    return 0;
}

static int retire_identity(struct rollover_step *step, struct error *error)
{
    bool changed;
    if (reload_rollover(step, error) < 0)
        return -1;
    if (!is_taken_up(step))
        return fail(error, ERROR_CONFLICT,
                    "felhomd has not shown the new certificate yet: start it, then felhomctl "
                    "identity switch");
    if (rollover_retire(state_dir(step), &changed, error) < 0 ||
        record_step(step, changed, "the previous certificate is forgotten", &step->rollover.current,
                    error) < 0)
        return -1;
    update_all_pins(step);
    return 0;
}

static int take_step(struct rollover_step *step, const char *name, struct error *error)
{
    static const struct {
        const char *name;
        int (*take)(struct rollover_step *step, struct error *error);
    } takes[] = {
        {"stage", stage_identity}, {"switch", switch_identity}, {"retire", retire_identity}};
    if (session_open(&step->session, error) < 0 ||
        guest_list(step->session.store, &step->guests, error) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(takes); i++) {
        if (strcmp(takes[i].name, name) == 0 && takes[i].take(step, error) < 0)
            return -1;
    }
    return steps_check_failures(&step->steps, "not all directories could be updated", error);
}

/* Returns a text that tells the operator what to do next. shown: the pins of the certificate that
 * felhomd shows, as for rollover_shown. */
static const char *next_step_text(const struct rollover *rollover, const struct pins *shown)
{
    if (rollover_has(&rollover->next))
        return "felhomctl identity switch, once the guests have read their directories again";
    if (rollover_shown(rollover, shown) == &rollover->previous)
        return "felhomctl identity switch again: felhomd does not show the certificate yet";
    if (rollover_has(&rollover->previous))
        return "felhomctl identity retire, once no guest knows only the previous certificate";
    return "none; felhomctl identity stage begins a rollover";
}

static json_t *next_report(struct rollover_step *step)
{
    struct error ignored;
    struct pins shown;
    json_t *rest = json_object();
    if (step->session.store && reload_rollover(step, &ignored) == 0)
        output_put_text(
            rest, "next",
            next_step_text(&step->rollover, find_shown_pins(step, &shown) ? &shown : NULL));
    return rest;
}

/* Takes the step that the invocation's word names, and prints what was done. */
static int run_step(const struct invocation *invocation, struct error *error)
{
    cleanup(rollover_step_free) struct rollover_step step = {.steps = steps_new()};
    int result = take_step(&step, invocation->word, error);
    cleanup_json json_t *rest = result == 0 ? next_report(&step) : NULL;
    steps_print(&step.steps, invocation, rest);
    return result;
}

/* --- the verb --- */

enum { OPTION_PEM };
static const struct verb_option options[] = {
    [OPTION_PEM] = {"pem", NULL, "print the certificate alone, in PEM"},
};

static void put_pins(json_t *report, const char *which, const struct identity *identity)
{
    cleanup_free char *spki = mem_format("%s_pin_spki_sha256", which);
    cleanup_free char *leaf = mem_format("%s_pin_leaf_sha256", which);
    if (!rollover_has(identity))
        return;
    output_put_texts(report, spki, identity->pins.spki, leaf, identity->pins.leaf);
}

static void put_rollover(json_t *report, const struct rollover *rollover, const struct pins *shown)
{
    put_pins(report, "next", &rollover->next);
    put_pins(report, "previous", &rollover->previous);
    output_put_text(report, "next_step", next_step_text(rollover, shown));
}

static int show_report(const struct invocation *invocation, const struct session *session,
                       const struct rollover *rollover, struct error *error)
{
    struct host host;
    if (host_get(session->store, &host, error) < 0)
        return -1;
    const struct pins shown = host.pins;
    /* The certificate's file counts; a store restored from another place may differ. */
    host.pins = rollover->current.pins;
    cleanup_json json_t *report = host_report(&session->config, &host);
    output_put_time(report, "valid_from", rollover->current.valid_from_ms);
    output_put_time(report, "valid_to", rollover->current.valid_to_ms);
    put_rollover(report, rollover, &shown);
    if (!output_value(invocation, report))
        host_report_print(invocation->out, report);
    return 0;
}

static int show_identity(const struct invocation *invocation, struct error *error)
{
    cleanup_session struct session session = {.store = NULL};
    cleanup(rollover_free) struct rollover rollover = {0};
    if (session_open(&session, error) < 0 ||
        rollover_load(session.config.paths.state, &rollover, error) < 0)
        return -1;
    if (!invocation->values[OPTION_PEM])
        return show_report(invocation, &session, &rollover, error);
    (void)fputs(buffer_text(&rollover.current.certificate_pem), invocation->out);
    return 0;
}

static int run_identity(const struct invocation *invocation, struct error *error)
{
    if (!invocation->word)
        return show_identity(invocation, error);
    if (invocation->values[OPTION_PEM])
        return fail(error, ERROR_INVALID, "identity: --pem cannot be combined with a step");
    return run_step(invocation, error);
}

const struct verb verb_identity = {
    .name = "identity",
    .operand = OPERAND_WORD_OR_NONE,
    .words = IDENTITY_STEPS,
    .help = "Show endpoint, pins and certificate, or take a step to another certificate",
    .run = run_identity,
    VERB_OPTIONS(options),
};
