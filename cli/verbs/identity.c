/* SPDX-License-Identifier: Apache-2.0 */
/* identity: what guests pin, and the steps by which it becomes another. */
#include <mbedtls/x509_crt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/base/output.h"
#include "cli/base/session.h"
#include "cli/base/steps.h"
#include "cli/base/verb.h"
#include "cli/base/vmids.h"
#include "cli/verbs/report.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/clock.h"
#include "store/base/nudge.h"
#include "store/documents/documents.h"
#include "store/documents/live_directory.h"
#include "store/files/directory.h"
#include "store/host/endpoint.h"
#include "store/identity/identity.h"
#include "store/identity/rollover.h"
#include "store/tables/guest.h"
#include "store/tables/host.h"
#include "store/tables/token.h"

/*
 * What a running guest's directory says, brought up to date while the guest runs.
 *
 * It keeps the very token that lies in it. A rotation would tell the guest as much, but would make
 * it change its token besides, fill the audit trail with one for each guest and step, and cut off
 * the guest that reads its directory less often than token.overlap; nothing is wrong with the
 * token. As nothing is minted, a death at any instruction leaves nothing to be taken back: each
 * file is whole and good, old or new.
 */

enum telling_outcome {
    TELLING_DONE,
    TELLING_ALREADY,  /* it says so already */
    TELLING_NOT_LIVE, /* the guest is stopped or has no token: it is told when it starts */
};

struct telling {
    enum telling_outcome outcome;
    struct error left_out; /* as controller_parts_render tells it */
};

struct pin_update {
    const struct session *session;
    uint32_t vmid;
    struct live_directory directory;
    struct token_text token;
    struct sources sources;
    struct guest_files files;
};

static void pin_update_free(struct pin_update *update)
{
    token_text_wipe(&update->token);
    sources_free(&update->sources);
    guest_files_free(&update->files);
}

static const char *guests_dir(const struct pin_update *update)
{
    return update->session->config.paths.guests;
}

/* One that has ended by its age is the guest's until a rotation. */
static int check_token(const struct pin_update *update, bool *ret_revoked, struct error *error)
{
    enum token_verdict verdict;
    if (token_recheck(update->session->store, update->directory.token_id, clock_wall_ms(), &verdict,
                      error) < 0)
        return -1;
    *ret_revoked = verdict != TOKEN_GOOD && verdict != TOKEN_EXPIRED;
    return 0;
}

static int is_live(struct pin_update *update, bool *ret, struct error *error)
{
    struct guest guest;
    bool revoked;
    if (live_directory_look(guests_dir(update), update->vmid, &update->directory, error) < 0 ||
        guest_find(update->session->store, update->vmid, &guest, error) < 0 ||
        check_token(update, &revoked, error) < 0)
        return -1;
    *ret = update->directory.live && guest.state != GUEST_STOPPED && !revoked;
    return 0;
}

static int render(struct pin_update *update, struct error *ret_left_out, struct error *error)
{
    const struct config *config = &update->session->config;
    if (live_directory_token(guests_dir(update), update->vmid, &update->token, error) < 0 ||
        sources_load(config, update->vmid, update->session->store, &update->sources, error) < 0)
        return -1;
    return documents_render(config, &update->sources, update->token.text, &update->files,
                            ret_left_out, error);
}

static bool holds(const struct pin_update *update, const char *name, const struct buffer *content)
{
    struct error ignored;
    cleanup_buffer struct buffer there = BUFFER_EMPTY;
    return live_directory_read(guests_dir(update), update->vmid, name, &there, &ignored) == 0 &&
           there.length == content->length && memcmp(there.data, content->data, there.length) == 0;
}

static bool is_told(const struct pin_update *update)
{
    return holds(update, "agent.crt", &update->files.agent_crt) &&
           holds(update, "controller.yaml", &update->files.controller_yaml) &&
           holds(update, "bootstrap.json", &update->files.bootstrap_json);
}

/* felhomd's sweep is not held back by the lock: what it scrubbed must not stay here after it. */
static int check_still_live(const struct pin_update *update, struct error *error)
{
    bool revoked;
    if (check_token(update, &revoked, error) < 0)
        return -1;
    if (!revoked)
        return 0;
    if (guest_directory_scrub(guests_dir(update), update->vmid, error) < 0)
        return -1;
    return fail(error, ERROR_CONFLICT, "guest %u: its token was revoked meanwhile", update->vmid);
}

static int publish(const struct pin_update *update, struct error *error)
{
    const struct live_directory *directory = &update->directory;
    cleanup(guest_drafts_free) struct guest_drafts drafts = {.dirfd = -1};
    if (guest_drafts_write(guests_dir(update), update->vmid, directory->uid, directory->gid,
                           &update->files, &drafts, error) < 0 ||
        guest_drafts_publish(&drafts, error) < 0)
        return -1;
    return check_still_live(update, error);
}

/* Has the guest's directory say what a start now would have it say, but for the token. */
static int telling_run(const struct session *session, uint32_t vmid, struct telling *ret,
                       struct error *error)
{
    struct telling telling = {.outcome = TELLING_NOT_LIVE};
    cleanup(pin_update_free) struct pin_update update = {.session = session, .vmid = vmid};
    cleanup_close int lock = -1;
    bool live;
    if (guest_lock(&session->config, vmid, &lock, error) < 0 ||
        is_live(&update, &live, error) < 0 ||
        (live && render(&update, &telling.left_out, error) < 0))
        return -1;
    if (live)
        telling.outcome = is_told(&update) ? TELLING_ALREADY : TELLING_DONE;
    if (telling.outcome == TELLING_DONE && publish(&update, error) < 0)
        return -1;
    *ret = telling;
    return 0;
}

/* Whether the guest runs with a directory that does not name the certificate. */
/* What cannot be found out counts as owed. */
static bool telling_is_owed(const struct session *session, uint32_t vmid,
                            const struct identity *identity)
{
    bool live = true;
    struct error ignored;
    struct pin_update update = {.session = session, .vmid = vmid};
    cleanup_buffer struct buffer certificates = BUFFER_EMPTY;
    if (is_live(&update, &live, &ignored) == 0 && !live)
        return false;
    return live_directory_read(guests_dir(&update), vmid, "agent.crt", &certificates, &ignored) <
               0 ||
           !strstr(buffer_text(&certificates), buffer_text(&identity->certificate_pem));
}

/* The steps by which the host gets another identity, and its guests along with it. */

#define IDENTITY_STEPS "stage|switch|retire"

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

/* What the operator does next, in words; told as for rollover_shown. */
static const char *identity_step_next(const struct rollover *rollover, const struct pins *told)
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

/* Takes the step that the invocation's word names, and prints what was done. */
static int identity_step_run(const struct invocation *invocation, struct error *error)
{
    cleanup(work_free) struct work work = {.steps = steps_new()};
    int result = take_step(&work, invocation->word, error);
    cleanup_json json_t *rest = result == 0 ? next_of(&work) : NULL;
    steps_print(&work.steps, invocation, rest);
    return result;
}

enum { OPTION_PEM };
static const struct verb_option options[] = {
    [OPTION_PEM] = {"pem", NULL, "print the certificate alone, in PEM"},
};

static void put_date(json_t *report, const char *key, const mbedtls_x509_time *at)
{
    cleanup_free char *text = mem_format("%04d-%02d-%02dT%02d:%02d:%02dZ", at->year, at->mon,
                                         at->day, at->hour, at->min, at->sec);
    output_put_text(report, key, text);
}

static int put_validity(json_t *report, const struct buffer *pem, struct error *error)
{
    cleanup(mbedtls_x509_crt_free) mbedtls_x509_crt certificate;
    mbedtls_x509_crt_init(&certificate);
    if (mbedtls_x509_crt_parse(&certificate, (const unsigned char *)buffer_text(pem),
                               pem->length + 1) != 0)
        return fail(error, ERROR_CORRUPT, "the certificate cannot be read");
    put_date(report, "valid_from", &certificate.valid_from);
    put_date(report, "valid_to", &certificate.valid_to);
    return 0;
}

static void put_pins(json_t *report, const char *which, const struct identity *identity)
{
    cleanup_free char *spki = mem_format("%s_pin_spki_sha256", which);
    cleanup_free char *leaf = mem_format("%s_pin_leaf_sha256", which);
    if (!rollover_has(identity))
        return;
    output_put_text(report, spki, identity->pins.spki);
    output_put_text(report, leaf, identity->pins.leaf);
}

static void put_rollover(json_t *report, const struct rollover *rollover, const struct pins *told)
{
    put_pins(report, "next", &rollover->next);
    put_pins(report, "previous", &rollover->previous);
    output_put_text(report, "next_step", identity_step_next(rollover, told));
}

static int show(const struct invocation *invocation, const struct session *session,
                const struct rollover *rollover, struct error *error)
{
    struct host host;
    if (host_get(session->store, &host, error) < 0)
        return -1;
    const struct pins told = host.pins;
    /* The certificate as it lies there is the truth; a store restored from elsewhere may differ. */
    host.pins = rollover->current.pins;
    cleanup_json json_t *report = host_report(&session->config, &host);
    if (put_validity(report, &rollover->current.certificate_pem, error) < 0)
        return -1;
    put_rollover(report, rollover, &told);
    if (invocation->format != OUTPUT_TEXT)
        output_value(invocation, report);
    else
        host_report_print(invocation->out, report);
    return 0;
}

static int look(const struct invocation *invocation, struct error *error)
{
    cleanup_session struct session session = {.store = NULL};
    cleanup(rollover_free) struct rollover rollover = {0};
    if (session_open(&session, error) < 0 ||
        rollover_load(session.config.paths.state, &rollover, error) < 0)
        return -1;
    if (!invocation->values[OPTION_PEM])
        return show(invocation, &session, &rollover, error);
    (void)fputs(buffer_text(&rollover.current.certificate_pem), invocation->out);
    return 0;
}

static int run(const struct invocation *invocation, struct error *error)
{
    if (!invocation->word)
        return look(invocation, error);
    if (invocation->values[OPTION_PEM])
        return fail(error, ERROR_INVALID, "identity: --pem goes with no step");
    return identity_step_run(invocation, error);
}

const struct verb verb_identity = {
    .name = "identity",
    .operand = OPERAND_WORD_OR_NONE,
    .words = IDENTITY_STEPS,
    .help = "Show the host's endpoint, pins and certificate, or take a step to another certificate",
    .run = run,
    .options = options,
    .option_count = ARRAY_SIZE(options),
};
