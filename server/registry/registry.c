/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/registry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "server/base/context.h"
#include "server/base/lock.h"
#include "server/base/worker.h"
#include "server/outbound/http_client.h"
#include "server/registry/gitea.h"
#include "store/base/clock.h"
#include "store/base/nudge.h"
#include "store/files/config_file.h"
#include "store/host/host.h"
#include "store/tables/event.h"

#define PAUSE_US    (5 * SECOND_US)   /* between two mints for the same guest */
#define GRACE_MS    MINUTE_MS         /* for a pull that is still using the token before this one */
#define TIME_MIN_US ((int64_t)250000) /* with less time left a mint is not worth beginning */
#define HOST_ID_MAX 200 /* characters of the host id in the name, which Gitea cuts at 255 */

/* --- the registry as agent.yaml describes it --- */

int registry_read_secret(const struct config *config, struct buffer *out, struct error *error)
{
    const struct named_file file = {"registry.secret_file", NAMED_PASSWORD,
                                    config->registry.secret_file};
    if (config_file_read_secret(&file, out, error) == 0)
        return 0;
    error->kind = ERROR_INVALID;
    return -1;
}

char *registry_account(const struct config *config)
{
    if (config->registry.mode != REGISTRY_GITEA)
        return mem_copy_text("");
    return mem_format("%s@%s", config->registry.username, config->registry.host);
}

/* --- how often each guest may have a token minted --- */

/* Until when a guest may not have another token minted, by clock_steady_us. */
struct mint_pause {
    uint32_t vmid;
    int64_t end_us;
};

void mint_pace_init(struct mint_pace *pace)
{
    *pace = (struct mint_pace){.count = 0};
    (void)pthread_mutex_init(&pace->lock, NULL);
}

void mint_pace_destroy(struct mint_pace *pace)
{
    free(pace->pauses);
    (void)pthread_mutex_destroy(&pace->lock);
}

uint32_t mint_pace_take(struct mint_pace *pace, uint32_t vmid, int64_t now_us)
{
    size_t kept = 0;
    int64_t left_us = 0;
    lock_scope(&pace->lock);
    for (size_t i = 0; i < pace->count; i++) {
        const struct mint_pause pause = pace->pauses[i];
        if (pause.end_us <= now_us)
            continue;
        pace->pauses[kept++] = pause;
        if (pause.vmid == vmid)
            left_us = pause.end_us - now_us;
    }
    pace->count = kept;
    if (left_us == 0) {
        pace->pauses = mem_resize(pace->pauses, pace->count + 1, sizeof *pace->pauses);
        pace->pauses[pace->count++] = (struct mint_pause){vmid, now_us + PAUSE_US};
    }
    return (uint32_t)((left_us + SECOND_US - 1) / SECOND_US);
}

/*
 * --- minting, in the thread of the request and one token at a time ---
 *
 * The name of a token is recorded in the store before the registry is asked to make the token. So
 * the name is known whatever happens in between: deletion.c has the registry delete each token
 * whose mint is recorded as begun, but neither completed nor under way.
 */

/* A token that is being minted. */
struct mint_attempt {
    const struct config *config;
    uint32_t vmid;
    char name[CREDENTIAL_NAME_SIZE];
};

void registry_mint_init(struct registry_mint *mint, struct store_pool *stores,
                        struct call_counters *calls)
{
    *mint = (struct registry_mint){.stores = stores, .client = http_client_new(NULL, calls)};
    fair_lock_init(&mint->client_lock);
    (void)pthread_mutex_init(&mint->lock, NULL);
}

void registry_mint_destroy(struct registry_mint *mint)
{
    http_client_free(mint->client);
    fair_lock_destroy(&mint->client_lock);
    (void)pthread_mutex_destroy(&mint->lock);
}

const char *registry_mint_hold(struct registry_mint *mint)
{
    (void)pthread_mutex_lock(&mint->lock);
    return mint->name;
}

void registry_mint_resume(struct registry_mint *mint)
{
    (void)pthread_mutex_unlock(&mint->lock);
}

static void mint_set_name(struct registry_mint *mint, const char *name)
{
    lock_scope(&mint->lock);
    (void)snprintf(mint->name, sizeof mint->name, "%s", name);
}

/* Turns every failure of the store but ERROR_CONFLICT into ERROR_SYSTEM, so that the guest is
 * not told what is wrong with the store. Returns -1. */
static int mint_fail_store(struct store_loan *loan, struct error *error)
{
    if (error->kind == ERROR_CONFLICT)
        return -1;
    store_loan_failed(loan, error);
    error->kind = ERROR_SYSTEM;
    return -1;
}

static int mint_make_name(struct store *store, struct mint_attempt *attempt, struct error *error)
{
    struct host host;
    uint64_t number;
    if (host_get(store, &host, error) < 0)
        return -1;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        return fail_errno(error, errno, "no random number for a registry token's name");
    (void)snprintf(attempt->name, sizeof attempt->name, "felhom-%.*s-%" PRIu32 "-%016" PRIx64,
                   HOST_ID_MAX, host.host_id, attempt->vmid, number);
    return 0;
}

/* Makes a name and records it. From here on a crash cannot lose the name. */
static int mint_begin(struct registry_mint *mint, struct mint_attempt *attempt, struct error *error)
{
    cleanup_free char *account = registry_account(attempt->config);
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(mint->stores, &loan, error) < 0 ||
        mint_make_name(loan.store, attempt, error) < 0)
        return mint_fail_store(&loan, error);
    mint_set_name(mint, attempt->name);
    if (credential_begin(loan.store, attempt->name, account, attempt->vmid, clock_wall_ms(),
                         error) < 0)
        return mint_fail_store(&loan, error);
    return 0;
}

/* Deletes the name from the store. To be called only if it is certain that there is no such
 * token. After any other failure, and if this fails, the name stays, and the registry is asked to
 * delete the token. */
static void mint_forget(struct registry_mint *mint, const struct mint_attempt *attempt)
{
    struct error error;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(mint->stores, &loan, &error) < 0 ||
        credential_forget(loan.store, attempt->name, &error) < 0)
        store_loan_failed(&loan, &error);
}

/* Records that the token exists. Returning the loan rolls back what was begun and not committed. */
static int mint_record(struct store *store, const struct mint_attempt *attempt, bool *ret_wanted,
                       struct error *error)
{
    const int64_t now_ms = clock_wall_ms();
    cleanup_free char *detail = mem_format("registry token %s minted", attempt->name);
    if (store_begin(store, error) < 0 ||
        credential_live(store, attempt->name, now_ms + GRACE_MS, ret_wanted, error) < 0)
        return -1;
    /* The registry answers, so deletions that failed can be tried again. */
    if (credential_hurry(store, now_ms, error) < 0 ||
        event_note(store, now_ms, attempt->vmid, "credential", "ok", detail, error) < 0)
        return -1;
    return store_commit(store, error);
}

static int mint_keep(struct registry_mint *mint, const struct mint_attempt *attempt,
                     struct error *error)
{
    bool is_wanted = false;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(mint->stores, &loan, error) < 0 ||
        mint_record(loan.store, attempt, &is_wanted, error) < 0)
        return mint_fail_store(&loan, error);
    nudge_send(attempt->config->paths.state);
    if (!is_wanted)
        return fail(error, ERROR_CONFLICT, "guest %" PRIu32 " has stopped", attempt->vmid);
    return 0;
}

static int mint_attempt_make(struct registry_mint *mint, struct mint_attempt *attempt,
                             const struct gitea_call *call, struct buffer *out, struct error *error)
{
    bool may_exist = true;
    cleanup_buffer struct buffer token = BUFFER_EMPTY;
    if (mint_begin(mint, attempt, error) < 0)
        return -1;
    if (gitea_mint(call, attempt->name, &token, &may_exist, error) < 0) {
        if (!may_exist)
            mint_forget(mint, attempt);
        return -1;
    }
    if (mint_keep(mint, attempt, error) < 0)
        return -1;
    buffer_add(out, token.data, token.length);
    return 0;
}

static int mint_attempt_run(struct registry_mint *mint, struct mint_attempt *attempt,
                            int64_t deadline_us, struct buffer *out, struct error *error)
{
    cleanup_buffer struct buffer password = BUFFER_EMPTY;
    if (deadline_us - clock_steady_us() < TIME_MIN_US)
        return fail(error, ERROR_BUSY, "too many guests ask for registry tokens at once");
    if (registry_read_secret(attempt->config, &password, error) < 0)
        return -1;
    const struct gitea_call call = {
        .client = mint->client,
        .config = attempt->config,
        .password = buffer_text(&password),
        .deadline_us = deadline_us,
    };
    int result = mint_attempt_make(mint, attempt, &call, out, error);
    mint_set_name(mint, "");
    return result;
}

int registry_mint(struct registry_mint *mint, const struct config *config, uint32_t vmid,
                  int64_t deadline_us, struct buffer *out, struct error *error)
{
    struct mint_attempt attempt = {.config = config, .vmid = vmid};
    if (fair_lock_acquire(&mint->client_lock, vmid, config->limits.threads, deadline_us, error) < 0)
        return -1;
    int result = mint_attempt_run(mint, &attempt, deadline_us, out, error);
    fair_lock_release(&mint->client_lock);
    return result;
}

/* --- the worker --- */

struct registry {
    struct context *context;
    struct mint_pace pace;
    struct registry_mint mint;
    atomic_bool stopping;
    struct worker *worker;
    struct registry_deletion deletion; /* this and seen are for the worker thread only */
    struct server_config *seen;        /* the configuration of the last step; held, so that no new
                                          configuration can have its address */
};

static int64_t registry_step(void *context)
{
    struct registry *registry = context;
    cleanup_server_config struct server_config *current = context_config(registry->context);
    const bool is_fresh = current != registry->seen;
    if (is_fresh) {
        server_config_unref(registry->seen);
        registry->seen = server_config_ref(current);
    }
    return registry_deletion_turn(&registry->deletion, &current->config, is_fresh);
}

struct registry *registry_start(struct context *context)
{
    struct registry *registry = mem_new(struct registry);
    registry->context = context;
    mint_pace_init(&registry->pace);
    registry_mint_init(&registry->mint, context->stores, &context->counters.registry);
    registry->deletion = (struct registry_deletion){
        .stores = context->stores,
        .client = http_client_new(&registry->stopping, &context->counters.registry),
        .mint = &registry->mint,
        .stopping = &registry->stopping,
        .log = THROTTLED_LOG_NEW,
    };
    registry->worker = worker_start("registry", registry_step, registry);
    return registry;
}

void registry_stop(struct registry *registry)
{
    if (!registry)
        return;
    atomic_store(&registry->stopping, true);
    worker_stop(registry->worker);
    http_client_free(registry->deletion.client);
    (void)pthread_mutex_destroy(&registry->deletion.log.lock);
    registry_mint_destroy(&registry->mint);
    mint_pace_destroy(&registry->pace);
    server_config_unref(registry->seen);
    free(registry);
}

void registry_wake(struct registry *registry)
{
    if (registry)
        worker_wake(registry->worker);
}

/* --- for the API --- */

void registry_credential_free(struct registry_credential *credential)
{
    free(credential->host);
    free(credential->username);
    buffer_free(&credential->token);
    *credential = (struct registry_credential){0};
}

uint32_t registry_early_seconds(struct registry *registry, const struct config *config,
                                uint32_t vmid)
{
    if (config->registry.mode != REGISTRY_GITEA)
        return 0;
    return mint_pace_take(&registry->pace, vmid, clock_steady_us());
}

static int registry_get_token(struct registry *registry, const struct config *config, uint32_t vmid,
                              int64_t deadline_us, struct buffer *out, struct error *error)
{
    if (config->registry.mode == REGISTRY_NONE)
        return fail(error, ERROR_MISSING, "there is no registry credential");
    if (config->registry.mode == REGISTRY_STATIC)
        return registry_read_secret(config, out, error);
    int result = registry_mint(&registry->mint, config, vmid, deadline_us, out, error);
    /* The mint may have left a token that is to be deleted, or doomed the ones before it. */
    registry_wake(registry);
    return result;
}

int registry_credential_get(struct registry *registry, const struct config *config, uint32_t vmid,
                            int64_t deadline_us, struct registry_credential *ret,
                            struct error *error)
{
    cleanup_buffer struct buffer token = BUFFER_EMPTY;
    if (registry_get_token(registry, config, vmid, deadline_us, &token, error) < 0)
        return -1;
    *ret = (struct registry_credential){
        .host = mem_copy_text(config->registry.host),
        .username = mem_copy_text(config->registry.username),
        .token = steal(token),
    };
    return 0;
}

uint32_t registry_waiting(struct registry *registry)
{
    return registry ? fair_lock_waiting(&registry->mint.client_lock) : 0;
}
