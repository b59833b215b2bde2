/* SPDX-License-Identifier: Apache-2.0 */
/* post-start: the guest runs. Does it have its identity, which pre-start may have failed to give
 * it, and does it see its directory? */

#include "hooks/reaction.h"
#include "schema/base/cleanup.h"
#include "store/base/clock.h"
#include "store/documents/issue.h"
#include "store/files/guest_directory.h"
#include "store/files/guest_mount.h"
#include "store/tables/guest.h"
#include "store/tables/token.h"

static void check_sighting(struct reaction *reaction, const char *mount_form)
{
    if (*mount_form == '\0')
        return;
    enum visibility visibility = guest_mount_visibility(reaction->config, reaction->vmid);
    if (visibility == VISIBILITY_MISSING || visibility == VISIBILITY_REMOVED)
        report_problem(reaction->report,
                       "the running guest does not see its directory at %s (mount form %s); "
                       "felhomctl guest %u shows more",
                       reaction->config->bootstrap.guest_path, mount_form, reaction->vmid);
}

/* The operator has revoked what pre-start gave the guest moments ago: that stays so. */
static bool is_revoked_on_purpose(const struct guest *guest, const struct token_life *newest)
{
    return guest->state == GUEST_STARTING && newest->created_at_ms >= guest->changed_at_ms &&
           token_ended_on_purpose(newest->revoked_reason);
}

/* Whether pre-start has failed, or what it has made is gone. ret_guest: all zero if the store does
 * not know the guest. */
static int guest_lacks_identity(struct reaction *reaction, struct guest *ret_guest, bool *ret,
                                struct error *error)
{
    enum token_verdict verdict;
    struct guest_directory directory;
    struct token_life newest;
    struct error problem;
    struct store *store = reaction->store;
    *ret_guest = (struct guest){0};
    if (guest_find(store, reaction->vmid, ret_guest, &problem) < 0 &&
        fail_unless_missing(error, &problem) < 0)
        return -1;
    if (issue_check(reaction->config, store, reaction->vmid, &directory, &verdict, error) < 0 ||
        token_newest(store, reaction->vmid, &newest, error) < 0)
        return -1;
    *ret = verdict != TOKEN_GOOD && !is_revoked_on_purpose(ret_guest, &newest);
    return 0;
}

static int note_running(struct reaction *reaction, struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (reaction_begin(reaction, &transaction, error) < 0 ||
        guest_set_state(reaction->store, reaction->vmid, GUEST_RUNNING, clock_wall_ms(), error) <
            0 ||
        reaction_phase_event(reaction, error) < 0)
        return -1;
    return reaction_commit(reaction, &transaction, error);
}

static int make_up_for_pre_start(struct reaction *reaction, struct error *error)
{
    cleanup_issue struct issue issue = reaction_issue(reaction);
    if (issue_inspect(&issue, error) < 0)
        return -1;
    check_sighting(reaction, mount_form_name(issue.own.form));
    return reaction_give_identity(reaction, &issue, GUEST_RUNNING, error);
}

int react_post_start(struct reaction *reaction, struct error *error)
{
    struct guest guest;
    bool lacks_identity;
    cleanup_close int lock = -1;
    if (guest_directory_lock(reaction->config, reaction->vmid, &lock, error) < 0 ||
        reaction_open_store(reaction, error) < 0 ||
        guest_lacks_identity(reaction, &guest, &lacks_identity, error) < 0)
        return -1;
    if (lacks_identity)
        return make_up_for_pre_start(reaction, error);
    check_sighting(reaction, guest.mount_form);
    return note_running(reaction, error);
}
