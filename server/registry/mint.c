/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/mint.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include "schema/base/memory.h"
#include "server/outbound/http_client.h"
#include "server/registry/gitea.h"
#include "server/registry/registry.h"
#include "store/base/clock.h"
#include "store/base/nudge.h"
#include "store/host/host.h"
#include "store/tables/event.h"

#define GRACE_MS    ((int64_t)60 * 1000) /* for a pull under way with the token before this one */
#define TIME_MIN_US ((int64_t)250000)    /* with less it is not worth beginning */
#define HOST_ID_MAX 200                  /* of the name, which Gitea cuts at 255 characters */

/* One token on its way. */
struct coin {
    const struct config *config;
    uint32_t vmid;
    char name[CREDENTIAL_NAME_SIZE];
};

void registry_mint_init(struct registry_mint *mint, struct store_pool *stores)
{
    *mint = (struct registry_mint){.stores = stores, .client = http_client_new(NULL)};
    bounded_lock_init(&mint->client_lock);
    (void)pthread_mutex_init(&mint->lock, NULL);
}

void registry_mint_destroy(struct registry_mint *mint)
{
    http_client_free(mint->client);
    bounded_lock_destroy(&mint->client_lock);
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

static void set_name(struct registry_mint *mint, const char *name)
{
    (void)pthread_mutex_lock(&mint->lock);
    (void)snprintf(mint->name, sizeof mint->name, "%s", name);
    (void)pthread_mutex_unlock(&mint->lock);
}

/* Of the store's troubles the guest learns nothing, whatever their kind. */
static int fail_store(struct store_loan *loan, struct error *error)
{
    if (error->kind == ERROR_CONFLICT)
        return -1;
    store_loan_failed(loan, error);
    error->kind = ERROR_SYSTEM;
    return -1;
}

static int make_name(struct store *store, struct coin *coin, struct error *error)
{
    struct host host;
    uint64_t number;
    if (host_get(store, &host, error) < 0)
        return -1;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        return fail_errno(error, errno, "no random number for a registry token's name");
    (void)snprintf(coin->name, sizeof coin->name, "felhom-%.*s-%" PRIu32 "-%016" PRIx64,
                   HOST_ID_MAX, host.host_id, coin->vmid, number);
    return 0;
}

/* From here on the name outlives whatever happens. */
static int begin(struct registry_mint *mint, struct coin *coin, struct error *error)
{
    cleanup_free char *account = registry_account(coin->config);
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(mint->stores, &loan, error) < 0 || make_name(loan.store, coin, error) < 0)
        return fail_store(&loan, error);
    set_name(mint, coin->name);
    if (credential_begin(loan.store, coin->name, account, coin->vmid, clock_wall_ms(), error) < 0)
        return fail_store(&loan, error);
    return 0;
}

/* Only where it is certain that there is no such token. Otherwise, as where this fails, the name
 * stays, for the token to be deleted. */
static void forget(struct registry_mint *mint, const struct coin *coin)
{
    struct error error;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(mint->stores, &loan, &error) < 0 ||
        credential_forget(loan.store, coin->name, &error) < 0)
        store_loan_failed(&loan, &error);
}

static int add_event(struct store *store, const struct coin *coin, int64_t now_ms,
                     struct error *error)
{
    cleanup_free char *detail = mem_format("registry token %s minted", coin->name);
    const struct event event = {
        .at_ms = now_ms,
        .vmid = coin->vmid,
        .kind = "credential",
        .outcome = "ok",
        .detail = detail,
        .duration_us = -1,
    };
    return event_add(store, &event, error);
}

/* A registry that mints can delete, too. */
static int record(struct store *store, const struct coin *coin, bool *ret_wanted,
                  struct error *error)
{
    int64_t now_ms = clock_wall_ms();
    if (store_begin(store, error) < 0)
        return -1;
    if (credential_live(store, coin->name, now_ms + GRACE_MS, ret_wanted, error) == 0 &&
        credential_hurry(store, now_ms, error) == 0 && add_event(store, coin, now_ms, error) == 0 &&
        store_commit(store, error) == 0)
        return 0;
    store_rollback(store);
    return -1;
}

static int keep(struct registry_mint *mint, const struct coin *coin, struct error *error)
{
    bool is_wanted = false;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(mint->stores, &loan, error) < 0 ||
        record(loan.store, coin, &is_wanted, error) < 0)
        return fail_store(&loan, error);
    nudge_send(coin->config->paths.state);
    if (!is_wanted)
        return fail(error, ERROR_CONFLICT, "guest %" PRIu32 " has stopped", coin->vmid);
    return 0;
}

static int strike(struct registry_mint *mint, struct coin *coin, const struct gitea_call *call,
                  struct buffer *out, struct error *error)
{
    bool may_exist = true;
    cleanup_buffer struct buffer token = BUFFER_EMPTY;
    if (begin(mint, coin, error) < 0)
        return -1;
    if (gitea_mint(call, coin->name, &token, &may_exist, error) < 0) {
        if (!may_exist)
            forget(mint, coin);
        return -1;
    }
    if (keep(mint, coin, error) < 0)
        return -1;
    buffer_add(out, token.data, token.length);
    return 0;
}

static int mint_alone(struct registry_mint *mint, struct coin *coin, int64_t deadline_us,
                      struct buffer *out, struct error *error)
{
    cleanup_buffer struct buffer password = BUFFER_EMPTY;
    if (deadline_us - clock_steady_us() < TIME_MIN_US)
        return fail(error, ERROR_BUSY, "too many guests ask for registry tokens at once");
    if (registry_read_secret(coin->config, &password, error) < 0)
        return -1;
    const struct gitea_call call = {
        .client = mint->client,
        .config = coin->config,
        .password = buffer_text(&password),
        .deadline_us = deadline_us,
    };
    int result = strike(mint, coin, &call, out, error);
    set_name(mint, "");
    return result;
}

int registry_mint(struct registry_mint *mint, const struct config *config, uint32_t vmid,
                  int64_t deadline_us, struct buffer *out, struct error *error)
{
    struct coin coin = {.config = config, .vmid = vmid};
    if (bounded_lock_acquire(&mint->client_lock, deadline_us, error) < 0)
        return -1;
    int result = mint_alone(mint, &coin, deadline_us, out, error);
    bounded_lock_release(&mint->client_lock);
    return result;
}
