/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deletes doomed tokens at the registry, one in each turn of the worker thread. A name is removed
 * from the store only once the registry has said that there is no such token, and no request that
 * is still under way can make one.
 */
#include "server/registry/registry.h"

#include <inttypes.h>
#include <stdlib.h>

#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "server/base/worker.h"
#include "server/registry/gitea.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/base/nudge.h"
#include "store/tables/event.h"

#define LOOK_EVERY_US  (60 * SECOND_US) /* even if not woken, because a nudge may get lost */
#define STORE_RETRY_US (5 * SECOND_US)
#define DELETE_TIME_US (10 * SECOND_US)
#define LONGEST_MS     HOUR_MS          /* the longest time between two tries */
#define SETTLING_MS    (10 * MINUTE_MS) /* so long may a request be under way */
#define EVENT_KIND     "credential"

/* What one turn works with. */
struct deletion_turn {
    struct registry_deletion *deletion;
    const struct config *config;
    int64_t now_ms;
    bool fresh;
};

/* --- what is to be deleted --- */

static int deletion_find(const struct deletion_turn *turn, struct store *store,
                         const char *being_minted, struct credential_doomed *ret,
                         struct error *error)
{
    cleanup_free char *account = registry_account(turn->config);
    if (credential_doom_stale(store, being_minted, turn->now_ms, error) < 0 ||
        (turn->fresh && credential_hurry(store, turn->now_ms, error) < 0))
        return -1;
    return credential_next_doomed(store, account, being_minted, ret, error);
}

/* Finds the next token to delete. No mint may begin during this, because its name would look
 * like one that was left behind. */
static int deletion_look(const struct deletion_turn *turn, struct credential_doomed *ret,
                         struct error *error)
{
    struct registry_deletion *deletion = turn->deletion;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(deletion->stores, &loan, error) < 0)
        return store_loan_failed(&loan, error);
    int result = deletion_find(turn, loan.store, registry_mint_hold(deletion->mint), ret, error);
    registry_mint_resume(deletion->mint);
    return result < 0 ? store_loan_failed(&loan, error) : 0;
}

/* Logs how many doomed tokens belong to another account, because only that account can delete
 * them. */
static void deletion_log_others(const struct deletion_turn *turn)
{
    struct error error;
    uint32_t count = 0;
    cleanup_free char *other = NULL;
    cleanup_free char *account = registry_account(turn->config);
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(turn->deletion->stores, &loan, &error) < 0 ||
        credential_count_elsewhere(loan.store, account, &count, &other, &error) < 0)
        store_loan_failed(&loan, &error);
    if (count > 0)
        log_line(LOG_WARNING,
                 "registry: %" PRIu32 " token%s of %s cannot be deleted as long as agent.yaml has "
                 "another registry",
                 count, count == 1 ? "" : "s", other);
}

/* True if the next try is due, or further away than any could be set, which means that the clock
 * was set back. */
static bool deletion_is_due(const struct deletion_turn *turn,
                            const struct credential_doomed *doomed)
{
    int64_t wait_ms = doomed->next_try_at_ms - turn->now_ms;
    return wait_ms <= 0 || wait_ms > LONGEST_MS + LONGEST_MS / 8;
}

/* --- recording the result --- */

/* A change of the store and its event; detail NULL: without an event. */
struct deletion_outcome {
    const char *kind;
    char *detail;
    int64_t next_try_at_ms; /* 0: the name is deleted from the store */
};

static void deletion_outcome_free(struct deletion_outcome *outcome)
{
    free(outcome->detail);
}

/* Returning the loan rolls back what was begun and not committed. */
static int deletion_write(const struct deletion_turn *turn, struct store *store,
                          const struct credential_doomed *doomed,
                          const struct deletion_outcome *outcome, struct error *error)
{
    if (store_begin(store, error) < 0)
        return -1;
    int result = outcome->next_try_at_ms == 0
                     ? credential_forget(store, doomed->name, error)
                     : credential_postpone(store, doomed->name, outcome->next_try_at_ms, error);
    if (result < 0 || (outcome->detail && event_note(store, turn->now_ms, doomed->vmid, EVENT_KIND,
                                                     outcome->kind, outcome->detail, error) < 0))
        return -1;
    return store_commit(store, error);
}

static int deletion_record(const struct deletion_turn *turn, const struct credential_doomed *doomed,
                           const struct deletion_outcome *outcome, struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(turn->deletion->stores, &loan, error) < 0 ||
        deletion_write(turn, loan.store, doomed, outcome, error) < 0)
        return store_loan_failed(&loan, error);
    if (outcome->detail)
        nudge_send(turn->config->paths.state);
    return 0;
}

static struct deletion_outcome deletion_postponed(const struct deletion_turn *turn,
                                                  const struct credential_doomed *doomed)
{
    int64_t wait_ms = worker_backoff_ms(doomed->failures + 1, LONGEST_MS);
    return (struct deletion_outcome){.next_try_at_ms = turn->now_ms + wait_ms};
}

static struct deletion_outcome deletion_succeeded(const struct deletion_turn *turn,
                                                  const struct credential_doomed *doomed,
                                                  const char *how)
{
    throttled_log_guest(&turn->deletion->log, LOG_INFO, doomed->vmid, EVENT_KIND,
                        "registry: guest %" PRIu32 ": token %s %s", doomed->vmid, doomed->name,
                        how);
    return (struct deletion_outcome){"ok", mem_format("registry token %s %s", doomed->name, how),
                                     0};
}

/* The registry has no such token. If it was never known to exist, the request to make it may
 * still be under way, so the deletion is tried again until SETTLING_MS are over. */
static struct deletion_outcome deletion_missing(const struct deletion_turn *turn,
                                                const struct credential_doomed *doomed)
{
    int64_t age_ms = turn->now_ms - doomed->created_at_ms;
    if (doomed->minted)
        return deletion_succeeded(turn, doomed, "was gone already");
    return age_ms >= 0 && age_ms < SETTLING_MS ? deletion_postponed(turn, doomed)
                                               : (struct deletion_outcome){0};
}

/* Returns what the event, which the guest can read, may say about the error. */
static const char *deletion_reason(const struct error *error)
{
    bool is_from_registry = error->kind == ERROR_BUSY || error->kind == ERROR_DENIED;
    return is_from_registry ? error->message : "the host's log says why";
}

/* Only the first of several failures in a row is logged. */
static struct deletion_outcome deletion_failed(const struct deletion_turn *turn,
                                               const struct credential_doomed *doomed,
                                               const struct error *error)
{
    struct deletion_outcome outcome = deletion_postponed(turn, doomed);
    if (doomed->failures > 0)
        return outcome;
    throttled_log_guest(&turn->deletion->log, LOG_WARNING, doomed->vmid, EVENT_KIND,
                        "registry: guest %" PRIu32 ": token %s could not be deleted yet: %s",
                        doomed->vmid, doomed->name, error->message);
    outcome.kind = "warning";
    outcome.detail = mem_format("registry token %s could not be deleted yet: %s", doomed->name,
                                deletion_reason(error));
    return outcome;
}

static struct deletion_outcome deletion_outcome_of_reply(const struct deletion_turn *turn,
                                                         const struct credential_doomed *doomed,
                                                         int result, const struct error *error)
{
    if (result == 0)
        return deletion_succeeded(turn, doomed, "deleted");
    return error->kind == ERROR_MISSING ? deletion_missing(turn, doomed)
                                        : deletion_failed(turn, doomed, error);
}

/* --- a turn --- */

static int deletion_ask_registry(const struct deletion_turn *turn,
                                 const struct credential_doomed *doomed, struct error *error)
{
    cleanup_buffer struct buffer password = BUFFER_EMPTY;
    if (registry_read_secret(turn->config, &password, error) < 0)
        return -1;
    const struct gitea_call call = {
        .client = turn->deletion->client,
        .config = turn->config,
        .password = buffer_text(&password),
        .deadline_us = clock_steady_us() + DELETE_TIME_US,
    };
    return gitea_delete(&call, doomed->name, error);
}

static int64_t deletion_perform(const struct deletion_turn *turn,
                                const struct credential_doomed *doomed)
{
    struct registry_deletion *deletion = turn->deletion;
    struct error error = {0};
    int result = deletion_ask_registry(turn, doomed, &error);
    if (atomic_load(deletion->stopping))
        return LOOK_EVERY_US; /* the stop makes requests fail */
    cleanup(deletion_outcome_free) struct deletion_outcome outcome =
        deletion_outcome_of_reply(turn, doomed, result, &error);
    if (deletion_record(turn, doomed, &outcome, &error) == 0)
        return 0;
    throttled_log_line(&deletion->log, LOG_ERR,
                       "registry: cannot record what became of token %s: %s", doomed->name,
                       error.message);
    return STORE_RETRY_US;
}

static int64_t deletion_wait_us(const struct deletion_turn *turn,
                                const struct credential_doomed *doomed)
{
    int64_t left_us = (doomed->next_try_at_ms - turn->now_ms) * 1000;
    return left_us < LOOK_EVERY_US ? left_us : LOOK_EVERY_US;
}

int64_t registry_deletion_turn(struct registry_deletion *deletion, const struct config *config,
                               bool fresh)
{
    struct error error;
    struct credential_doomed doomed = {.name = ""};
    const struct deletion_turn turn = {deletion, config, clock_wall_ms(), fresh};
    if (fresh)
        deletion_log_others(&turn);
    if (deletion_look(&turn, &doomed, &error) < 0) {
        throttled_log_line(&deletion->log, LOG_ERR, "registry: %s", error.message);
        return STORE_RETRY_US;
    }
    if (*doomed.name == '\0')
        return LOOK_EVERY_US;
    return deletion_is_due(&turn, &doomed) ? deletion_perform(&turn, &doomed)
                                           : deletion_wait_us(&turn, &doomed);
}
