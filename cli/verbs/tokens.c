/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order is pre-start's, and makes a death at any instruction as harmless: the new token is good
 * and the drafts of the files are complete before any file that the guest reads changes; the old
 * token is given its end only after the files hold the new one. A death in between leaves both
 * good, and the next rotation gives an end to all that are older than its own.
 *
 * post-stop holds the same lock while it takes the secrets away: a guest either is found stopped
 * here, or stops after the rotation and loses the new token with the old. felhomd's sweep and
 * felhomctl revoke are not held back by the lock; so the new token is looked at again at the end.
 */
#include "cli/verbs/tokens.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/clock.h"
#include "store/documents/documents.h"
#include "store/documents/live_directory.h"
#include "store/files/directory.h"
#include "store/tables/credential.h"
#include "store/tables/guest.h"
#include "store/tables/token.h"

/* With the guest's tokens go those for the registry that it got by them. */
static int revoke_all(struct store *store, uint32_t vmid, const char *reason, int *ret_count,
                      struct error *error)
{
    int64_t now_ms = clock_wall_ms();
    if (store_begin(store, error) < 0)
        return -1;
    if (token_revoke_before(store, vmid, INT64_MAX, now_ms, reason, ret_count, error) == 0 &&
        credential_doom(store, vmid, now_ms, error) == 0 && store_commit(store, error) == 0)
        return 0;
    store_rollback(store);
    return -1;
}

/* The file goes first: a token that is dead must never lie there as if it were good; nor one that a
 * rotation puts there meanwhile. */
int revocation_run(const struct session *session, uint32_t vmid, const char *reason,
                   struct steps *steps, int *ret_count, struct error *error)
{
    struct error of_scrub;
    cleanup_close int lock = -1;
    if (guest_lock(&session->config, vmid, &lock, error) < 0)
        return -1;
    int scrubbed = guest_directory_scrub(session->config.paths.guests, vmid, &of_scrub);
    if (revoke_all(session->store, vmid, reason, ret_count, error) < 0)
        return -1;
    steps_add(steps, *ret_count ? STEP_DONE : STEP_ALREADY, "tokens", "%d revoked", *ret_count);
    if (scrubbed < 0)
        return fail(error, of_scrub.kind, "all tokens are revoked, but %.400s", of_scrub.message);
    return 0;
}

#define TIMER_PERIOD_MS ((int64_t)3600 * 1000) /* felhom-token-age.timer's */

struct work {
    const struct session *session;
    uint32_t vmid;
    bool only_due;
    struct live_directory directory;
    struct sources sources;
    struct token token;
    struct guest_drafts drafts;
};

static void work_free(struct work *work)
{
    sources_free(&work->sources);
    token_text_wipe(&work->token.text);
    guest_drafts_free(&work->drafts);
}

/* --- whether --- */

static int64_t margin_ms(int64_t max_age_ms)
{
    int64_t third_ms = max_age_ms / 3;
    return third_ms > 2 * TIMER_PERIOD_MS ? third_ms : 2 * TIMER_PERIOD_MS;
}

/* By the max_age in force now, though the token may have been made under another. */
static int64_t end_of(const struct token_life *token, int64_t max_age_ms)
{
    int64_t end_ms = token->created_at_ms + max_age_ms;
    return token->expires_at_ms && token->expires_at_ms < end_ms ? token->expires_at_ms : end_ms;
}

/* One that came to its end has left the directory with the newest token, and no older one good for
 * longer than the overlap. */
static int was_cut_short(const struct work *work, const struct token_life *newest, int64_t now_ms,
                         bool *ret, struct error *error)
{
    int older = 0;
    int64_t overlap_ms = (int64_t)work->session->config.token.overlap_ms;
    if (token_count_before(work->session->store, work->vmid, newest->generation,
                           now_ms + overlap_ms, &older, error) < 0)
        return -1;
    *ret = older > 0 || strcmp(work->directory.token_id, newest->id) != 0;
    return 0;
}

static int judge_age(const struct work *work, int64_t now_ms, struct rotation *rotation,
                     struct error *error)
{
    bool cut_short;
    int64_t max_age_ms = (int64_t)work->session->config.token.max_age_ms;
    if (was_cut_short(work, &rotation->token, now_ms, &cut_short, error) < 0)
        return -1;
    rotation->left_ms = end_of(&rotation->token, max_age_ms) - now_ms;
    if (!cut_short && rotation->left_ms >= margin_ms(max_age_ms))
        rotation->outcome = ROTATION_NOT_DUE;
    return 0;
}

/* A token that ended by its age is replaced like any other; one that was revoked is not: the
 * operator's word stands until the guest starts again. */
static int judge(const struct work *work, int64_t now_ms, struct rotation *rotation,
                 struct error *error)
{
    struct guest guest;
    struct store *store = work->session->store;
    if (guest_find(store, work->vmid, &guest, error) < 0 ||
        token_newest(store, work->vmid, &rotation->token, error) < 0)
        return -1;
    if (!work->directory.live || guest.state == GUEST_STOPPED || rotation->token.generation == 0 ||
        rotation->token.revoked)
        rotation->outcome = ROTATION_NO_TOKEN;
    else if (work->only_due)
        return judge_age(work, now_ms, rotation, error);
    return 0;
}

/* --- the new token --- */

static int mint(struct work *work, int64_t now_ms, struct error *error)
{
    char detail[64];
    const struct session *session = work->session;
    struct token *token = &work->token;
    int64_t end_ms = token_life_end(now_ms, session->config.token.max_age_ms);
    if (token_mint(session->store, work->vmid, now_ms, end_ms, token, error) < 0)
        return -1;
    (void)snprintf(detail, sizeof detail, "token %s gen %" PRId64, token->text.id,
                   token->generation);
    return session_event(session, work->vmid, "mint", detail, error);
}

/* The directory belongs to whom the running guest sees as its root: its drafts do as well. */
static int draft(struct work *work, struct error *ret_left_out, struct error *error)
{
    const struct live_directory *directory = &work->directory;
    return documents_draft(&work->session->config, &work->sources, work->token.text.text,
                           directory->uid, directory->gid, &work->drafts, ret_left_out, error);
}

/* The first transaction: a token that is good from its commit on. It judges once more, as felhomd
 * may have revoked the old one meanwhile. */
static int prepare(struct work *work, struct rotation *rotation, struct error *error)
{
    int64_t now_ms = clock_wall_ms();
    struct store *store = work->session->store;
    if (store_begin(store, error) < 0 || judge(work, now_ms, rotation, error) < 0)
        return -1;
    if (rotation->outcome != ROTATION_DONE) {
        store_rollback(store);
        return 0;
    }
    if (mint(work, now_ms, error) < 0 || draft(work, &rotation->left_out, error) < 0)
        return -1;
    return store_commit(store, error);
}

/* --- the old one --- */

/* What was just written must not stay where it is not good any more. */
static int check_still_good(const struct work *work, int64_t now_ms, struct error *error)
{
    enum token_verdict verdict;
    const struct session *session = work->session;
    if (token_recheck(session->store, work->token.text.id, now_ms, &verdict, error) < 0)
        return -1;
    if (verdict == TOKEN_GOOD)
        return 0;
    if (guest_directory_scrub(session->config.paths.guests, work->vmid, error) < 0)
        return -1;
    return fail(error, ERROR_CONFLICT, "guest %u: its new token was %s at once by somebody else",
                work->vmid, token_verdict_name(verdict));
}

static int record(const struct work *work, const struct rotation *rotation, struct error *error)
{
    const struct token_life *replaced = &rotation->replaced;
    cleanup_free char *detail = mem_format(
        "token %s gen %" PRId64 " in place of %s gen %" PRId64, rotation->token.id,
        rotation->token.generation, *replaced->id ? replaced->id : "none", replaced->generation);
    return session_event(work->session, work->vmid, "rotate", detail, error);
}

/* The second transaction. */
static int retire_older(const struct work *work, struct rotation *rotation, struct error *error)
{
    int64_t now_ms = clock_wall_ms();
    struct store *store = work->session->store;
    int64_t end_ms = now_ms + (int64_t)work->session->config.token.overlap_ms;
    if (store_begin(store, error) < 0 || check_still_good(work, now_ms, error) < 0 ||
        token_end_before(store, work->vmid, work->token.generation, end_ms, error) < 0 ||
        token_find(store, work->token.text.id, &rotation->token, error) < 0 ||
        token_find(store, work->directory.token_id, &rotation->replaced, error) < 0 ||
        record(work, rotation, error) < 0)
        return -1;
    return store_commit(store, error);
}

static int rotate(struct work *work, struct rotation *rotation, struct error *error)
{
    const struct config *config = &work->session->config;
    cleanup_close int lock = -1;
    if (guest_lock(config, work->vmid, &lock, error) < 0 ||
        live_directory_look(config->paths.guests, work->vmid, &work->directory, error) < 0 ||
        judge(work, clock_wall_ms(), rotation, error) < 0)
        return -1;
    if (rotation->outcome != ROTATION_DONE)
        return 0;
    if (sources_load(config, work->vmid, work->session->store, &work->sources, error) < 0 ||
        prepare(work, rotation, error) < 0)
        return -1;
    if (rotation->outcome != ROTATION_DONE)
        return 0;
    if (guest_drafts_publish(&work->drafts, error) < 0)
        return -1;
    return retire_older(work, rotation, error);
}

int rotation_run(const struct session *session, uint32_t vmid, bool only_due, struct rotation *ret,
                 struct error *error)
{
    struct rotation rotation = {.outcome = ROTATION_DONE};
    cleanup(work_free) struct work work = {
        .session = session, .vmid = vmid, .only_due = only_due, .drafts = {.dirfd = -1}};
    if (rotate(&work, &rotation, error) < 0) {
        store_rollback(session->store);
        return -1;
    }
    *ret = rotation;
    return 0;
}
