/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/registry.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "server/base/context.h"
#include "server/base/lock.h"
#include "server/base/worker.h"
#include "server/outbound/http_client.h"
#include "store/base/clock.h"
#include "store/files/config_file.h"

#define PAUSE_US (5 * SECOND_US)

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
