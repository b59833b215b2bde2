/* SPDX-License-Identifier: Apache-2.0 */
/* rotate: running guests get new tokens; the old ones stay good for a while. */
#include <stdlib.h>

#include "cli/base/output.h"
#include "cli/base/steps.h"
#include "cli/base/verb.h"
#include "cli/base/vmids.h"
#include "cli/verbs/tokens.h"
#include "schema/base/cleanup.h"
#include "schema/json/json.h"
#include "store/tables/guest.h"

#define NO_TOKEN "has no token: it gets one when it starts"

enum { OPTION_ALL, OPTION_DUE };

static const struct verb_option options[] = {
    [OPTION_ALL] = {"all", NULL, "each guest that runs"},
    [OPTION_DUE] = {"due", NULL,
                    "each whose token has less left of token.max_age than a third, or two hours"},
};

/* The whole run. */
struct work {
    struct session session;
    struct steps steps;
    json_t *rotated;
    struct vmids failed;
};

static void work_free(struct work *work)
{
    session_close(&work->session);
    steps_free(&work->steps);
    json_decref(work->rotated);
    vmids_free(&work->failed);
}

static void note_failure(struct work *work, uint32_t vmid, const char *what)
{
    steps_add_guest(&work->steps, STEP_WARNING, vmid, "%s", what);
    vmids_add(&work->failed, vmid);
}

static void report(struct work *work, uint32_t vmid, const struct rotation *rotation)
{
    const struct token_life *old = &rotation->replaced;
    json_t *row = json_object();
    output_put_int(row, "vmid", vmid);
    output_put_text(row, "token_id", rotation->token.id);
    output_put_int(row, "token_generation", rotation->token.generation);
    output_put_time(row, "expires_at", rotation->token.expires_at_ms);
    json_set(row, "replaced_id", *old->id ? json_text(old->id) : json_null());
    output_put_time(row, "replaced_expires_at", old->expires_at_ms);
    json_append(work->rotated, row);
}

static void note_done(struct work *work, uint32_t vmid, const struct rotation *rotation)
{
    steps_add_guest(&work->steps, STEP_DONE, vmid, "token %s gen %lld in place of %s",
                    rotation->token.id, (long long)rotation->token.generation,
                    *rotation->replaced.id ? rotation->replaced.id : "none that is known");
    if (rotation->left_out.kind != ERROR_NONE)
        steps_add_guest(&work->steps, STEP_WARNING, vmid,
                        "controller.yaml is made without the hub: %s", rotation->left_out.message);
}

static void tell(struct work *work, uint32_t vmid, const struct rotation *rotation)
{
    switch (rotation->outcome) {
    case ROTATION_DONE:
        note_done(work, vmid, rotation);
        report(work, vmid, rotation);
        break;
    case ROTATION_NOT_DUE:
        steps_add_guest(&work->steps, STEP_ALREADY, vmid,
                        "is not due: its token is good for another %lld h",
                        (long long)rotation->left_ms / 3600000);
        break;
    case ROTATION_NO_TOKEN:
        steps_add_guest(&work->steps, STEP_ALREADY, vmid, NO_TOKEN);
        break;
    }
}

/* --- all guests, or those that are due --- */

static void rotate_any(struct work *work, uint32_t vmid, bool only_due)
{
    struct error problem;
    struct rotation rotation;
    if (rotation_run(&work->session, vmid, only_due, &rotation, &problem) < 0)
        note_failure(work, vmid, problem.message);
    else
        tell(work, vmid, &rotation);
}

static int rotate_all(struct work *work, bool only_due, struct error *error)
{
    cleanup(vmids_free) struct vmids vmids = {NULL, 0};
    if (only_due && work->session.config.token.max_age_ms == 0) {
        steps_add(&work->steps, STEP_ALREADY, "token.max_age",
                  "is 0: no token has an age at which it is due");
        return 0;
    }
    if (guest_each(work->session.store, vmids_keep, &vmids, error) < 0)
        return -1;
    for (size_t i = 0; i < vmids.count; i++)
        rotate_any(work, vmids.items[i], only_due);
    return 0;
}

/* --- guests by name --- */

static int check_known(struct store *store, uint32_t vmid, struct error *error)
{
    struct guest guest;
    if (guest_find(store, vmid, &guest, error) == 0)
        return 0;
    if (error->kind != ERROR_MISSING)
        return -1;
    return fail(error, ERROR_MISSING, "guest %u is not known here: felhomctl enroll %u", vmid,
                vmid);
}

static int rotate_one(struct work *work, uint32_t vmid, struct error *error)
{
    struct rotation rotation;
    if (check_known(work->session.store, vmid, error) < 0 ||
        rotation_run(&work->session, vmid, false, &rotation, error) < 0)
        return -1;
    if (rotation.outcome == ROTATION_NO_TOKEN)
        return fail(error, ERROR_CONFLICT, "guest %u " NO_TOKEN, vmid);
    tell(work, vmid, &rotation);
    return 0;
}

/* A failure does not keep the other guests from it; that of a lone one speaks for itself. */
static int rotate_named(struct work *work, const struct invocation *invocation, struct error *error)
{
    if (invocation->vmid_count == 1)
        return rotate_one(work, invocation->vmids[0], error);
    for (size_t i = 0; i < invocation->vmid_count; i++) {
        struct error problem;
        if (rotate_one(work, invocation->vmids[i], &problem) < 0)
            note_failure(work, invocation->vmids[i], problem.message);
    }
    return 0;
}

static int check_wish(const struct invocation *invocation, struct error *error)
{
    bool named = invocation->vmid_count > 0;
    bool all = invocation->values[OPTION_ALL];
    bool due = invocation->values[OPTION_DUE];
    if (named + all + due == 1)
        return 0;
    return fail(error, ERROR_INVALID, "rotate: one of VMID..., --all and --due, please");
}

static int do_work(struct work *work, const struct invocation *invocation, struct error *error)
{
    if (check_wish(invocation, error) < 0 || session_open(&work->session, error) < 0)
        return -1;
    if ((invocation->vmid_count > 0 ? rotate_named(work, invocation, error)
                                    : rotate_all(work, invocation->values[OPTION_DUE], error)) < 0)
        return -1;
    return vmids_fail(&work->failed, "not all went well", error);
}

static int run(const struct invocation *invocation, struct error *error)
{
    cleanup(work_free) struct work work = {.steps = steps_new(), .rotated = json_array()};
    cleanup_json json_t *rest = json_object();
    int result = do_work(&work, invocation, error);
    json_set(rest, "rotated", json_incref(work.rotated));
    steps_print(&work.steps, invocation, rest);
    return result;
}

const struct verb verb_rotate = {
    .name = "rotate",
    .operand = OPERAND_VMIDS,
    .help = "Give running guests new tokens; the old ones stay good for token.overlap",
    .run = run,
    .options = options,
    .option_count = ARRAY_SIZE(options),
};
