/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotate: running guests get new tokens; the old ones stay good for a while. A guest that has lost
 * its identity, or never got it, is given one (store/documents/issue.h).
 *
 * The order is that of pre-start and makes a kill at any instruction harmless: the new token is
 * valid and the drafts of the files are complete before any file that the guest reads changes; the
 * old token gets its expiry only after the files have the new one. A kill in between leaves both
 * valid, and the next rotation sets the expiry of all tokens older than its own.
 *
 * post-stop takes the same lock before it deletes the secrets: a guest is either found stopped
 * here, or stops after the rotation and loses the new token with the old. felhomd's sweep does not
 * take the lock; so the second transaction checks that the new token is still good.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli/base/output.h"
#include "cli/base/session.h"
#include "cli/base/steps.h"
#include "cli/base/verb.h"
#include "cli/pve/guests.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "schema/json/json.h"
#include "store/base/clock.h"
#include "store/db/token_record.h"
#include "store/documents/issue.h"
#include "store/files/config_file.h"
#include "store/files/guest_directory.h"
#include "store/tables/guest.h"
#include "store/tables/token.h"

#define TIMER_PERIOD_MS HOUR_MS /* felhom-token-age.timer's */
#define ON_PURPOSE      "has no token: it was revoked by " TOKEN_REVOKED_BY_OPERATOR

/* --- one guest --- */

enum rotation_outcome {
    ROTATION_DONE,
    ROTATION_NOT_DUE,
    ROTATION_NO_TOKEN,   /* the guest does not run */
    ROTATION_ON_PURPOSE, /* the operator has revoked its tokens, and has not named it now */
};

struct rotation {
    const struct session *session;
    uint32_t vmid;
    bool only_due;
    bool named; /* by the operator, who may undo a revoke by that */
    enum rotation_outcome outcome;
    bool anew; /* the guest has no token that could be replaced: all that pre-start does is done */
    struct guest_directory directory;
    struct issue issue;
    struct token_life token;    /* the guest's newest; the new one where it was rotated */
    struct token_life replaced; /* what its directory held before, and until when it is good */
    int64_t left_ms;            /* with ROTATION_NOT_DUE: of the token's life */
};

static struct rotation rotation_new(const struct session *session, uint32_t vmid, bool only_due)
{
    struct rotation rotation = {
        .session = session,
        .vmid = vmid,
        .only_due = only_due,
        .issue = issue_new(&session->config, session->store, vmid),
    };
    rotation.issue.source = "felhomctl";
    return rotation;
}

static void rotation_free(struct rotation *rotation)
{
    issue_free(&rotation->issue);
}

static int64_t due_margin_ms(int64_t max_age_ms)
{
    int64_t third_ms = max_age_ms / 3;
    return third_ms > 2 * TIMER_PERIOD_MS ? third_ms : 2 * TIMER_PERIOD_MS;
}

/* By the max_age in force now, which may differ from the one when the token was minted. */
static int64_t token_end_ms(const struct token_life *token, int64_t max_age_ms)
{
    int64_t end_ms = max_age_ms ? token->created_at_ms + max_age_ms : INT64_MAX;
    return token->expires_at_ms && token->expires_at_ms < end_ms ? token->expires_at_ms : end_ms;
}

/* By the clock, or by the record if that is sooner, as after the clock was set back. */
static int rotation_find_left(struct rotation *rotation, int64_t now_ms, struct error *error)
{
    const struct token_life *token = &rotation->token;
    cleanup_token_record struct token_record record = {0};
    if (token_record_read(rotation->vmid, &record, error) < 0)
        return -1;
    int64_t recorded_ms = token_record_left_ms(&record, token->id);
    int64_t left_ms =
        token_end_ms(token, (int64_t)rotation->session->config.token.max_age_ms) - now_ms;
    rotation->left_ms = recorded_ms < left_ms ? recorded_ms : left_ms;
    return 0;
}

/* A rotation that finished leaves the newest token in the directory, and no older token that is
 * good for longer than the overlap. One that is not what the store has, as of a damaged store, is
 * none. */
static int rotation_was_cut_short(const struct rotation *rotation, const struct token_life *newest,
                                  int64_t now_ms, bool *ret, struct error *error)
{
    int older = 0;
    enum token_verdict verdict;
    struct guest_directory directory;
    int64_t overlap_ms = (int64_t)rotation->session->config.token.overlap_ms;
    if (token_count_before(rotation->session->store, rotation->vmid, newest->generation,
                           now_ms + overlap_ms, &older, error) < 0)
        return -1;
    if (issue_check(&rotation->session->config, rotation->session->store, rotation->vmid,
                    &directory, &verdict, error) < 0)
        return -1;
    *ret = older > 0 || strcmp(rotation->directory.token_id, newest->id) != 0 ||
           (verdict != TOKEN_GOOD && verdict != TOKEN_EXPIRED);
    return 0;
}

static int rotation_judge_age(struct rotation *rotation, int64_t now_ms, struct error *error)
{
    bool cut_short;
    int64_t max_age_ms = (int64_t)rotation->session->config.token.max_age_ms;
    if (rotation_was_cut_short(rotation, &rotation->token, now_ms, &cut_short, error) < 0 ||
        rotation_find_left(rotation, now_ms, error) < 0)
        return -1;
    /* The clock was ahead when it was minted: when it comes to its end cannot be told. */
    bool is_dated_ahead = max_age_ms != 0 && rotation->token.created_at_ms > now_ms;
    if (!cut_short && !is_dated_ahead && rotation->left_ms >= due_margin_ms(max_age_ms))
        rotation->outcome = ROTATION_NOT_DUE;
    return 0;
}

/* Whether it runs and the agent serves it: of any other, nobody would end the token. Of what kind
 * it is, its configuration says if the store does not know it. */
static bool rotation_guest_is_served(const struct rotation *rotation, const struct guest *row)
{
    struct error ignored;
    cleanup(guest_config_free) struct guest_config config = {0};
    if (!row &&
        config_file_load_guest(&rotation->session->config, rotation->vmid, &config, &ignored) < 0)
        return false;
    return issue_guest_runs(&rotation->session->config, row ? row->kind : config.kind,
                            rotation->vmid, row) &&
           node_guest_is_enrolled(&rotation->session->config, rotation->vmid);
}

/* Of a guest that the store has lost, the record still says that it is to have no token. */
static bool rotation_ended_on_purpose(const struct rotation *rotation)
{
    struct error ignored;
    cleanup_token_record struct token_record record = {0};
    if (rotation->token.generation != 0)
        return token_ended_on_purpose(rotation->token.revoked_reason);
    return token_record_read(rotation->vmid, &record, &ignored) == 0 && record.exists &&
           record.changes > 0 && record.count == 0;
}

/* For a guest without a token that could be replaced. What the operator has revoked stays revoked
 * until the guest starts again, or until the operator names it. */
static void rotation_judge_loss(struct rotation *rotation, const struct guest *row)
{
    rotation->anew = true;
    if (!rotation_guest_is_served(rotation, row))
        rotation->outcome = ROTATION_NO_TOKEN;
    else if (!rotation->named && rotation_ended_on_purpose(rotation))
        rotation->outcome = ROTATION_ON_PURPOSE;
}

/* An expired token is replaced like any other. */
static bool rotation_can_replace(const struct rotation *rotation, const struct guest *row)
{
    return row && rotation->directory.live && row->state != GUEST_STOPPED &&
           rotation->token.generation != 0 && rotation->token.revoked_at_ms == 0;
}

static int rotation_judge(struct rotation *rotation, int64_t now_ms, struct error *error)
{
    struct guest guest;
    struct error problem;
    struct store *store = rotation->session->store;
    bool known = guest_find(store, rotation->vmid, &guest, &problem) == 0;
    if ((!known && fail_unless_missing(error, &problem) < 0) ||
        token_newest(store, rotation->vmid, &rotation->token, error) < 0)
        return -1;
    rotation->anew = false;
    if (!rotation_can_replace(rotation, known ? &guest : NULL))
        rotation_judge_loss(rotation, known ? &guest : NULL);
    else if (rotation->only_due)
        return rotation_judge_age(rotation, now_ms, error);
    return 0;
}

/* The files get the directory's owner, which is the running guest's mapped root. */
static int rotation_load(struct rotation *rotation, struct error *error)
{
    struct issue *issue = &rotation->issue;
    issue->uid = rotation->directory.uid;
    issue->gid = rotation->directory.gid;
    if (rotation->anew &&
        (issue_inspect(issue, error) < 0 || issue_make_directory(issue, error) < 0))
        return -1;
    return issue_load_sources(issue, error);
}

/* The first transaction: mints the new token, which is valid from the commit on. Judges the guest
 * again, as felhomd may have revoked its token meanwhile. */
static int rotation_prepare(struct rotation *rotation, struct error *error)
{
    int64_t now_ms = clock_wall_ms();
    struct issue *issue = &rotation->issue;
    bool was_anew = rotation->anew;
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(rotation->session->store, &transaction, error) < 0 ||
        rotation_judge(rotation, now_ms, error) < 0)
        return -1;
    if (rotation->anew != was_anew)
        return fail(error, ERROR_CONFLICT,
                    "guest %u: another process changed its token meanwhile: run it again",
                    rotation->vmid);
    if (rotation->outcome != ROTATION_DONE)
        return 0;
    if ((rotation->anew && issue_record(issue, GUEST_RUNNING, now_ms, error) < 0) ||
        issue_draft(issue, error) < 0 || issue_mint(issue, now_ms, error) < 0)
        return -1;
    return transaction_commit(&transaction, error);
}

/* Removes the files just written if the new token is not good any more. */
static int rotation_check_still_good(const struct rotation *rotation, int64_t now_ms,
                                     struct error *error)
{
    enum token_verdict verdict;
    const struct session *session = rotation->session;
    if (token_recheck(session->store, rotation->issue.token.text.id, now_ms, &verdict, error) < 0)
        return -1;
    if (verdict == TOKEN_GOOD)
        return 0;
    if (guest_directory_scrub(session->config.paths.guests, rotation->vmid, error) < 0)
        return -1;
    return fail(error, ERROR_CONFLICT, "guest %u: another process had its new token %s at once",
                rotation->vmid, token_verdict_name(verdict));
}

static int rotation_record(const struct rotation *rotation, struct error *error)
{
    const struct token_life *replaced = &rotation->replaced;
    cleanup_free char *detail = mem_format(
        "token %s gen %" PRId64 " in place of %s gen %" PRId64, rotation->token.id,
        rotation->token.generation, *replaced->id ? replaced->id : "none", replaced->generation);
    return session_event(rotation->session, rotation->vmid, "rotate", detail, error);
}

/* The second transaction: the expiry of older tokens, and the event. */
static int rotation_retire_older(struct rotation *rotation, struct error *error)
{
    int64_t now_ms = clock_wall_ms();
    struct store *store = rotation->session->store;
    int64_t end_ms = now_ms + (int64_t)rotation->session->config.token.overlap_ms;
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(store, &transaction, error) < 0 ||
        rotation_check_still_good(rotation, now_ms, error) < 0 ||
        token_end_before(store, rotation->vmid, rotation->issue.token.generation, end_ms, now_ms,
                         error) < 0 ||
        token_find(store, rotation->issue.token.text.id, &rotation->token, error) < 0 ||
        token_find(store, rotation->directory.token_id, &rotation->replaced, error) < 0 ||
        rotation_record(rotation, error) < 0)
        return -1;
    return transaction_commit(&transaction, error);
}

/*
 * Gives the guest a new token: the old one stays good for token.overlap, counted from when the
 * guest's directory holds the new one. only_due: only if the guest has lost its token, if less of
 * token.max_age is left than a third of it or two hours, whichever is longer (the timer that asks
 * runs hourly), or if an earlier rotation was cut short. The caller frees it with rotation_free,
 * whatever is returned.
 */
static int rotation_run(struct rotation *rotation, struct error *error)
{
    const struct config *config = &rotation->session->config;
    cleanup_close int lock = -1;
    if (guest_directory_lock(config, rotation->vmid, &lock, error) < 0 ||
        guest_directory_inspect(config->paths.guests, rotation->vmid, &rotation->directory, error) <
            0 ||
        rotation_judge(rotation, clock_wall_ms(), error) < 0)
        return -1;
    if (rotation->outcome != ROTATION_DONE)
        return 0;
    if (rotation_load(rotation, error) < 0 || rotation_prepare(rotation, error) < 0)
        return -1;
    if (rotation->outcome != ROTATION_DONE)
        return 0;
    if (issue_publish(&rotation->issue, error) < 0)
        return -1;
    return rotation_retire_older(rotation, error);
}

/* --- the run --- */

enum { OPTION_ALL, OPTION_DUE };

static const struct verb_option options[] = {
    [OPTION_ALL] = {"all", NULL, "all running guests but those whose tokens revoke has ended"},
    [OPTION_DUE] = {"due", NULL,
                    "running guests that have lost their token, or whose token expires within a "
                    "third of token.max_age or two hours"},
};

struct rotate_run {
    struct session session;
    struct steps steps;
    json_t *rotated; /* a row for each new token */
};

static void rotate_run_free(struct rotate_run *run)
{
    session_close(&run->session);
    steps_free(&run->steps);
    json_decref(run->rotated);
}

static void add_rotated(struct rotate_run *run, uint32_t vmid, const struct rotation *rotation)
{
    const struct token_life *old = &rotation->replaced;
    json_t *row = json_object();
    output_put_int(row, "vmid", vmid);
    output_put_text(row, "token_id", rotation->token.id);
    output_put_int(row, "token_generation", rotation->token.generation);
    output_put_time(row, "expires_at", rotation->token.expires_at_ms);
    json_set(row, "replaced_id", *old->id ? json_text(old->id) : json_null());
    output_put_time(row, "replaced_expires_at", old->expires_at_ms);
    json_append(run->rotated, row);
}

static void note_rotated(struct rotate_run *run, uint32_t vmid, const struct rotation *rotation)
{
    steps_add_guest(&run->steps, STEP_DONE, vmid, "token %s gen %lld in place of %s",
                    rotation->token.id, (long long)rotation->token.generation,
                    *rotation->replaced.id ? rotation->replaced.id : "none that is known");
    if (rotation->issue.fault.kind != ERROR_NONE)
        steps_add_guest(&run->steps, STEP_WARNING, vmid, "%s", rotation->issue.fault.message);
    if (rotation->issue.unexported.kind != ERROR_NONE &&
        rotation->issue.unexported.kind != ERROR_DENIED)
        steps_add_guest(&run->steps, STEP_WARNING, vmid, "%s", rotation->issue.unexported.message);
}

/* Why the guest gets no token now. */
static const char *no_token_text(const struct rotation *rotation)
{
    struct error problem;
    cleanup(guest_config_free) struct guest_config config = {0};
    if (config_file_load_guest(&rotation->session->config, rotation->vmid, &config, &problem) < 0 &&
        problem.kind == ERROR_MISSING)
        return "has no token: it is not on this node";
    return "has no token: it gets one when it starts";
}

static void note_on_purpose(struct rotate_run *run, uint32_t vmid, const char *reason)
{
    if (strcmp(reason, TOKEN_REVOKED_BY_OPERATOR) == 0)
        steps_add_guest(&run->steps, STEP_ALREADY, vmid,
                        "has no token: it was revoked by " TOKEN_REVOKED_BY_OPERATOR
                        ": felhomctl rotate %u gives it one",
                        vmid);
    else
        steps_add_guest(&run->steps, STEP_ALREADY, vmid,
                        "has no token: it was revoked, or the guest stopped, before the store went "
                        "back: felhomctl rotate %u gives it one",
                        vmid);
}

static void note_outcome(struct rotate_run *run, uint32_t vmid, const struct rotation *rotation)
{
    switch (rotation->outcome) {
    case ROTATION_DONE:
        note_rotated(run, vmid, rotation);
        add_rotated(run, vmid, rotation);
        break;
    case ROTATION_NOT_DUE:
        if (run->session.config.token.max_age_ms > 0)
            steps_add_guest(&run->steps, STEP_ALREADY, vmid,
                            "is not due: its token is good for another %lld h",
                            (long long)rotation->left_ms / 3600000);
        break;
    case ROTATION_NO_TOKEN:
        steps_add_guest(&run->steps, STEP_ALREADY, vmid, "%s", no_token_text(rotation));
        break;
    case ROTATION_ON_PURPOSE:
        note_on_purpose(run, vmid, rotation->token.revoked_reason);
        break;
    }
}

static void rotate_listed(struct rotate_run *run, uint32_t vmid, bool only_due)
{
    struct error problem;
    cleanup(rotation_free) struct rotation rotation = rotation_new(&run->session, vmid, only_due);
    if (rotation_run(&rotation, &problem) < 0)
        steps_add_failure(&run->steps, vmid, problem.message);
    else
        note_outcome(run, vmid, &rotation);
}

/* The guests of the store, and those that it should know: it may have been lost. */
static int list_guests(struct rotate_run *run, struct vmids *ret, struct error *error)
{
    struct error no_proxmox;
    const struct config *config = &run->session.config;
    cleanup(vmids_free) struct vmids here = {NULL, 0};
    if (guest_list(run->session.store, ret, error) < 0)
        return -1;
    if (node_guests_list(config, &here, &no_proxmox) < 0)
        return 0;
    for (size_t i = 0; i < here.count; i++)
        if (!vmids_has(ret, here.items[i]) && node_guest_is_enrolled(config, here.items[i]))
            vmids_add(ret, here.items[i]);
    return 0;
}

static int rotate_all(struct rotate_run *run, bool only_due, struct error *error)
{
    cleanup(vmids_free) struct vmids vmids = {NULL, 0};
    if (only_due && run->session.config.token.max_age_ms == 0)
        steps_add(&run->steps, STEP_ALREADY, "token.max_age",
                  "is 0: tokens do not age, so only those that are lost or had an end set are due");
    if (list_guests(run, &vmids, error) < 0)
        return -1;
    for (size_t i = 0; i < vmids.count; i++)
        rotate_listed(run, vmids.items[i], only_due);
    return 0;
}

static int rotate_named_one(struct rotate_run *run, uint32_t vmid, struct error *error)
{
    struct guest guest;
    cleanup(rotation_free) struct rotation rotation = rotation_new(&run->session, vmid, false);
    rotation.named = true;
    if ((session_find_guest(&run->session, vmid, &guest, error) < 0 &&
         !node_guest_is_enrolled(&run->session.config, vmid)) ||
        rotation_run(&rotation, error) < 0)
        return -1;
    if (rotation.outcome == ROTATION_NO_TOKEN)
        return fail(error, ERROR_CONFLICT, "guest %u %s", vmid, no_token_text(&rotation));
    note_outcome(run, vmid, &rotation);
    return 0;
}

/* For one guest a failure is the verb's error. For several guests it is a step, and the other
 * guests are still rotated. */
static int rotate_named(struct rotate_run *run, const struct invocation *invocation,
                        struct error *error)
{
    if (invocation->vmids.count == 1)
        return rotate_named_one(run, invocation->vmids.items[0], error);
    for (size_t i = 0; i < invocation->vmids.count; i++) {
        struct error problem;
        if (rotate_named_one(run, invocation->vmids.items[i], &problem) < 0)
            steps_add_failure(&run->steps, invocation->vmids.items[i], problem.message);
    }
    return 0;
}

static int check_arguments(const struct invocation *invocation, struct error *error)
{
    bool named = invocation->vmids.count > 0;
    bool all = invocation->values[OPTION_ALL];
    bool due = invocation->values[OPTION_DUE];
    if (named + all + due == 1)
        return 0;
    return fail(error, ERROR_INVALID, "rotate: give VMID..., --all or --due");
}

/* A store that has gone back would let tokens that have ended be rotated like good ones. */
static int audit_store(struct rotate_run *run, struct error *error)
{
    struct token_audit found;
    if (token_audit(run->session.store, clock_wall_ms(), &found, error) < 0)
        return -1;
    if (found.count > 0)
        steps_add(&run->steps, STEP_WARNING, "store",
                  "has gone back to an earlier state, or is damaged, or files in %s/tokens are "
                  "gone: %d tokens are ended",
                  run->session.config.paths.run, found.ended);
    return 0;
}

/*
 * What the timer and the path unit run: tokens must not come to their end for a mistake in
 * agent.yaml. The request that the path unit has seen is taken even if nothing can be done: it
 * would start this again at once, until systemd has it watch no more. Only whoever has waited for
 * the store before may leave that to it.
 */
static int rotate_open_unattended(struct rotate_run *run, struct error *error)
{
    struct error fault;
    int result = session_open_unattended(&run->session, &fault, error);
    if (result == 0 || error->kind != ERROR_BUSY)
        token_record_take_renewal();
    if (result == 0 && fault.kind != ERROR_NONE)
        steps_add(&run->steps, STEP_WARNING, "agent.yaml", "%s", fault.message);
    return result;
}

static int rotate(struct rotate_run *run, const struct invocation *invocation, struct error *error)
{
    if (check_arguments(invocation, error) < 0)
        return -1;
    if ((invocation->values[OPTION_DUE] ? rotate_open_unattended(run, error)
                                        : session_open(&run->session, error)) < 0)
        return -1;
    if (audit_store(run, error) < 0)
        return -1;
    if ((invocation->vmids.count > 0 ? rotate_named(run, invocation, error)
                                     : rotate_all(run, invocation->values[OPTION_DUE], error)) < 0)
        return -1;
    return steps_check_failures(&run->steps, "not all tokens could be rotated", error);
}

static int run_rotate(const struct invocation *invocation, struct error *error)
{
    cleanup(rotate_run_free) struct rotate_run run = {
        .steps = steps_new(),
        .rotated = json_array(),
    };
    cleanup_json json_t *rest = json_object();
    int result = rotate(&run, invocation, error);
    json_set(rest, "rotated", json_incref(run.rotated));
    steps_print(&run.steps, invocation, rest);
    return result;
}

const struct verb verb_rotate = {
    .name = "rotate",
    .operand = OPERAND_VMIDS,
    .instead = "--all|--due",
    .help = "Give running guests new tokens; the old ones stay good for token.overlap",
    .run = run_rotate,
    VERB_OPTIONS(options),
};
