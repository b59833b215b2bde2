/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pre-start: the host learns what the guest is, and the guest gets its identity.
 *
 * The order is what makes a death at any instruction harmless. The drafts of the files are complete
 * and the new token becomes good before any file that the guest reads changes; older tokens end
 * only after the files hold the new one. So at no moment does a file hold a token that the server
 * refuses.
 *
 * What may keep the guest from starting is checked before the guest's lock is taken, so that a lock
 * that cannot be had is no way around it. What goes into the files is read under the lock: whoever
 * changes it then brings it to the guest's directory under the lock, too, before or after this.
 */
#include <stdio.h>

#include "hooks/reaction.h"
#include "schema/agent/reach.h"
#include "schema/base/cleanup.h"
#include "store/base/clock.h"
#include "store/documents/issue.h"
#include "store/files/guest_directory.h"
#include "store/host/reach_facts.h"
#include "store/tables/credential.h"
#include "store/tables/token.h"

struct issue reaction_issue(const struct reaction *reaction)
{
    struct issue issue = issue_new(reaction->config, reaction->store, reaction->vmid);
    issue.started_us = reaction->started_us;
    return issue;
}

static void report_skipped_lines(struct reaction *reaction, const struct guest_config *guest)
{
    if (guest->warning_count > 0)
        report_problem(reaction->report, "guest configuration: %s%s", guest->warnings[0],
                       guest->warning_count > 1 ? " (and more)" : "");
}

static void report_unseen_directory(struct reaction *reaction, const struct issue *issue)
{
    if (issue->guest.kind == GUEST_LXC && issue->own.form == MOUNT_FORM_NONE)
        report_problem(reaction->report,
                       "nothing mounts %s/%u into the guest; felhomctl enroll %u sets it up",
                       reaction->config->paths.export, reaction->vmid, reaction->vmid);
}

static int inspect_guest(struct reaction *reaction, struct issue *issue, struct error *error)
{
    if (issue_inspect(issue, error) < 0)
        return -1;
    report_skipped_lines(reaction, &issue->guest);
    report_unseen_directory(reaction, issue);
    return 0;
}

static int make_directory(struct reaction *reaction, struct issue *issue, struct error *error)
{
    if (issue_make_directory(issue, error) < 0)
        return -1;
    if (issue->unexported.kind == ERROR_DENIED)
        report_problem(reaction->report, "%s; going on without it", issue->unexported.message);
    return 0;
}

static void report_shared_address(struct reaction *reaction, const struct issue *issue)
{
    const struct reach_host host = {.pve = reaction->config->paths.pve};
    const struct reach_guest guest = {reaction->vmid, &issue->guest};
    if (!issue->shared)
        return;
    const struct reach reach = reach_of_shared(issue->shared, issue->shared_with);
    cleanup_free char *sentence = reach_sentence(&host, &guest, &reach);
    report_problem(reaction->report, "%s", sentence);
}

/* Of what keeps a guest from felhomd, what can be seen at once; felhomctl doctor looks at the rest.
 * A host that does not say is no reason for a warning. */
static void report_reach(struct reaction *reaction, const struct issue *issue)
{
    struct error ignored;
    cleanup(reach_facts_free) struct reach_facts facts = {.socket = -1, .netlink = -1};
    const struct reach_guest guest = {reaction->vmid, &issue->guest};
    if (issue->guest.template || reach_facts_load(reaction->config, &facts, &ignored) < 0)
        return;
    cleanup(guest_reach_free) struct guest_reach reach =
        reach_facts_judge(&facts, &guest, NULL, NULL);
    if (reach.whole.verdict == REACH_YES)
        return;
    cleanup_free char *sentence = reach_sentence(&facts.host, &guest, &reach.whole);
    report_problem(reaction->report, "%s", sentence);
}

static int write_drafts(struct reaction *reaction, struct issue *issue, struct error *error)
{
    if (issue_draft(issue, error) < 0)
        return -1;
    if (issue->fault.kind != ERROR_NONE)
        report_problem(reaction->report, "%s", issue->fault.message);
    return 0;
}

/* The first transaction: all that the host believes of the guest, and a token that is good from its
 * commit on. Other hooks wait for it, so whatever can be done before is. */
static int record_and_mint(struct reaction *reaction, struct issue *issue, enum guest_state state,
                           struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (reaction_begin(reaction, &transaction, error) < 0)
        return -1;
    int64_t now_ms = clock_wall_ms();
    if (issue_record(issue, state, now_ms, error) < 0 || issue_mint(issue, now_ms, error) < 0)
        return -1;
    report_shared_address(reaction, issue);
    if (reaction_phase_event(reaction, error) < 0)
        return -1;
    return reaction_commit(reaction, &transaction, error);
}

/* The second one, needed only where the guest's last stop went by unseen. */
static int retire_older(struct reaction *reaction, int64_t generation, struct error *error)
{
    int count = 0;
    char detail[64];
    int64_t now_ms = clock_wall_ms();
    cleanup_transaction struct transaction transaction = {0};
    if (reaction_begin(reaction, &transaction, error) < 0 ||
        token_revoke_before(reaction->store, reaction->vmid, generation, now_ms,
                            "a newer token was minted", &count, error) < 0 ||
        credential_doom(reaction->store, reaction->vmid, now_ms, error) < 0)
        return -1;
    (void)snprintf(detail, sizeof detail, "%d older than gen %lld", count, (long long)generation);
    if (reaction_event(reaction, "revoke", "ok", detail, error) < 0)
        return -1;
    return reaction_commit(reaction, &transaction, error);
}

/* The directory comes before the store, whose lock may not be had in time: a guest that has mounted
 * it can get its identity later. */
int reaction_give_identity(struct reaction *reaction, struct issue *issue, enum guest_state state,
                           struct error *error)
{
    if (make_directory(reaction, issue, error) < 0 || reaction_open_store(reaction, error) < 0)
        return -1;
    issue->store = reaction->store;
    if (issue_load_sources(issue, error) < 0 || write_drafts(reaction, issue, error) < 0 ||
        record_and_mint(reaction, issue, state, error) < 0 || issue_publish(issue, error) < 0)
        return -1;
    if (issue->token.older > 0 && retire_older(reaction, issue->token.generation, error) < 0)
        return -1;
    if (issue->unexported.kind != ERROR_NONE && issue->unexported.kind != ERROR_DENIED) {
        *error = issue->unexported;
        return -1;
    }
    report_line(reaction->report,
                "felhom: %u %s: token gen %lld minted, %s populated (%d files), %.1f ms",
                reaction->vmid, reaction->phase, (long long)issue->token.generation,
                issue->own.form == MOUNT_FORM_NONE ? "directory" : "mount", issue->drafts.count,
                reaction_elapsed_ms(reaction));
    return 0;
}

int react_pre_start(struct reaction *reaction, struct error *error)
{
    cleanup_issue struct issue issue = reaction_issue(reaction);
    cleanup_close int lock = -1;
    if (inspect_guest(reaction, &issue, error) < 0)
        return -1;
    report_reach(reaction, &issue);
    if (guest_directory_lock(reaction->config, reaction->vmid, &lock, error) < 0)
        return -1;
    return reaction_give_identity(reaction, &issue, GUEST_STARTING, error);
}
