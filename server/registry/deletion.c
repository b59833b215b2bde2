/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/deletion.h"

#include <inttypes.h>
#include <stdlib.h>

#include "schema/base/memory.h"
#include "server/base/worker.h"
#include "server/registry/gitea.h"
#include "server/registry/registry.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/base/nudge.h"
#include "store/tables/event.h"

#define SECOND_US      ((int64_t)1000000)
#define LOOK_EVERY_US  (60 * SECOND_US) /* without being woken: a wake-up may get lost */
#define STORE_RETRY_US (5 * SECOND_US)
#define DELETE_TIME_US (10 * SECOND_US)
#define LONGEST_MS     ((int64_t)3600 * 1000) /* between two tries */
#define SETTLING_MS    ((int64_t)600 * 1000)  /* a request may linger so long on its way */
#define EVENT_KIND     "credential"

/* One turn. */
struct turn {
    struct registry_deletion *deletion;
    const struct config *config;
    int64_t now_ms;
    bool fresh;
};

/* --- what is to be deleted --- */

static int find(const struct turn *turn, struct store *store, const char *being_minted,
                struct credential_doomed *ret, struct error *error)
{
    cleanup_free char *account = registry_account(turn->config);
    if (credential_doom_stale(store, being_minted, turn->now_ms, error) < 0 ||
        (turn->fresh && credential_hurry(store, turn->now_ms, error) < 0))
        return -1;
    return credential_next_doomed(store, account, being_minted, ret, error);
}

/* No mint may begin meanwhile: its name would look like one that was left behind. */
static int look(const struct turn *turn, struct credential_doomed *ret, struct error *error)
{
    struct registry_deletion *deletion = turn->deletion;
    cleanup_store_loan struct store_loan loan = {0};
    int result = store_borrow(deletion->stores, &loan, error);
    if (result == 0) {
        result = find(turn, loan.store, registry_mint_hold(deletion->mint), ret, error);
        registry_mint_resume(deletion->mint);
    }
    if (result < 0)
        store_loan_failed(&loan, error);
    return result;
}

/* Nobody but whose they are can delete them. */
static void tell_of_others(const struct turn *turn)
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

/* No try is ever that far away: the clock was put back. */
static bool is_due(const struct turn *turn, const struct credential_doomed *doomed)
{
    int64_t wait_ms = doomed->next_try_at_ms - turn->now_ms;
    return wait_ms <= 0 || wait_ms > LONGEST_MS + LONGEST_MS / 8;
}

/* --- what became of it --- */

/* A change of the store, and what the audit trail is told of it: NULL, nothing. */
struct outcome {
    const char *kind;
    char *detail;
    int64_t next_try_at_ms; /* 0: the name is forgotten */
};

static void outcome_free(struct outcome *outcome)
{
    free(outcome->detail);
}

static int add_event(const struct turn *turn, struct store *store,
                     const struct credential_doomed *doomed, const struct outcome *outcome,
                     struct error *error)
{
    const struct event event = {
        .at_ms = turn->now_ms,
        .vmid = doomed->vmid,
        .kind = EVENT_KIND,
        .outcome = outcome->kind,
        .detail = outcome->detail,
        .duration_us = -1,
    };
    return outcome->detail ? event_add(store, &event, error) : 0;
}

static int change(struct store *store, const struct credential_doomed *doomed,
                  const struct outcome *outcome, struct error *error)
{
    if (outcome->next_try_at_ms == 0)
        return credential_forget(store, doomed->name, error);
    return credential_postpone(store, doomed->name, outcome->next_try_at_ms, error);
}

static int put(const struct turn *turn, struct store *store, const struct credential_doomed *doomed,
               const struct outcome *outcome, struct error *error)
{
    if (store_begin(store, error) < 0)
        return -1;
    if (change(store, doomed, outcome, error) == 0 &&
        add_event(turn, store, doomed, outcome, error) == 0 && store_commit(store, error) == 0)
        return 0;
    store_rollback(store);
    return -1;
}

static int record(const struct turn *turn, const struct credential_doomed *doomed,
                  const struct outcome *outcome, struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(turn->deletion->stores, &loan, error) < 0 ||
        put(turn, loan.store, doomed, outcome, error) < 0) {
        store_loan_failed(&loan, error);
        return -1;
    }
    if (outcome->detail)
        nudge_send(turn->config->paths.state);
    return 0;
}

static struct outcome postponed(const struct turn *turn, const struct credential_doomed *doomed)
{
    int64_t wait_ms = worker_backoff_ms(doomed->failures + 1, LONGEST_MS);
    return (struct outcome){.next_try_at_ms = turn->now_ms + wait_ms};
}

static struct outcome deleted(const struct turn *turn, const struct credential_doomed *doomed,
                              const char *how)
{
    throttled_log_guest(&turn->deletion->log, LOG_INFO, doomed->vmid, EVENT_KIND,
                        "registry: guest %" PRIu32 ": token %s %s", doomed->vmid, doomed->name,
                        how);
    return (struct outcome){"ok", mem_format("registry token %s %s", doomed->name, how), 0};
}

/* One that may never have been made, or is still on its way. */
static struct outcome missing(const struct turn *turn, const struct credential_doomed *doomed)
{
    int64_t age_ms = turn->now_ms - doomed->created_at_ms;
    if (doomed->minted)
        return deleted(turn, doomed, "was gone already");
    return age_ms >= 0 && age_ms < SETTLING_MS ? postponed(turn, doomed) : (struct outcome){0};
}

/* What the guest, whose event it is, may know of it. */
static const char *reason_of(const struct error *error)
{
    bool is_registrys = error->kind == ERROR_BUSY || error->kind == ERROR_DENIED;
    return is_registrys ? error->message : "the host's log says why";
}

/* The first failure of many is told. */
static struct outcome failed(const struct turn *turn, const struct credential_doomed *doomed,
                             const struct error *error)
{
    struct outcome outcome = postponed(turn, doomed);
    if (doomed->failures > 0)
        return outcome;
    throttled_log_guest(&turn->deletion->log, LOG_WARNING, doomed->vmid, EVENT_KIND,
                        "registry: guest %" PRIu32 ": token %s could not be deleted yet: %s",
                        doomed->vmid, doomed->name, error->message);
    outcome.kind = "warning";
    outcome.detail = mem_format("registry token %s could not be deleted yet: %s", doomed->name,
                                reason_of(error));
    return outcome;
}

static struct outcome judge(const struct turn *turn, const struct credential_doomed *doomed,
                            int result, const struct error *error)
{
    if (result == 0)
        return deleted(turn, doomed, "deleted");
    return error->kind == ERROR_MISSING ? missing(turn, doomed) : failed(turn, doomed, error);
}

/* --- a turn --- */

static int ask_registry(const struct turn *turn, const struct credential_doomed *doomed,
                        struct error *error)
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

static int64_t delete_one(const struct turn *turn, const struct credential_doomed *doomed)
{
    struct registry_deletion *deletion = turn->deletion;
    struct error error = {0};
    int result = ask_registry(turn, doomed, &error);
    if (atomic_load(deletion->stopping))
        return LOOK_EVERY_US; /* a failure may be our own doing */
    cleanup(outcome_free) struct outcome outcome = judge(turn, doomed, result, &error);
    if (record(turn, doomed, &outcome, &error) == 0)
        return 0;
    throttled_log_line(&deletion->log, LOG_ERR,
                       "registry: what became of token %s is not recorded: %s", doomed->name,
                       error.message);
    return STORE_RETRY_US;
}

static int64_t wait_us(const struct turn *turn, const struct credential_doomed *doomed)
{
    int64_t left_us = (doomed->next_try_at_ms - turn->now_ms) * 1000;
    return left_us < LOOK_EVERY_US ? left_us : LOOK_EVERY_US;
}

int64_t registry_deletion_turn(struct registry_deletion *deletion, const struct config *config,
                               bool fresh)
{
    struct error error;
    struct credential_doomed doomed = {.name = ""};
    const struct turn turn = {deletion, config, clock_wall_ms(), fresh};
    if (fresh)
        tell_of_others(&turn);
    if (look(&turn, &doomed, &error) < 0) {
        throttled_log_line(&deletion->log, LOG_ERR, "registry: %s", error.message);
        return STORE_RETRY_US;
    }
    if (*doomed.name == '\0')
        return LOOK_EVERY_US;
    return is_due(&turn, &doomed) ? delete_one(&turn, &doomed) : wait_us(&turn, &doomed);
}
