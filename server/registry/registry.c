/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/registry.h"

#include <stdlib.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "server/agent.h"
#include "server/base/worker.h"
#include "server/outbound/http_client.h"
#include "server/registry/deletion.h"
#include "server/registry/mint.h"
#include "server/registry/mint_pace.h"
#include "server/registry/registry_settings.h"
#include "store/base/clock.h"

struct registry {
    struct agent *agent;
    struct mint_pace pace;
    struct registry_mint mint;
    atomic_bool stopping;
    struct worker *worker;
    struct registry_deletion deletion; /* from here on the worker's */
    struct setup *seen; /* by the last step; held, so that no other is taken for it */
};

static bool is_fresh(struct registry *registry, struct setup *setup)
{
    if (setup == registry->seen)
        return false;
    setup_drop(registry->seen);
    registry->seen = setup_hold(setup);
    return true;
}

static int64_t step(void *context)
{
    struct registry *registry = context;
    cleanup_setup struct setup *setup = agent_setup(registry->agent);
    bool fresh = is_fresh(registry, setup);
    return registry_deletion_turn(&registry->deletion, &setup->config, fresh);
}

struct registry *registry_start(struct agent *agent)
{
    struct registry *registry = mem_new(struct registry);
    registry->agent = agent;
    mint_pace_init(&registry->pace);
    registry_mint_init(&registry->mint, agent->stores);
    atomic_init(&registry->stopping, false);
    registry->deletion = (struct registry_deletion){
        .stores = agent->stores,
        .client = http_client_new(&registry->stopping),
        .mint = &registry->mint,
        .stopping = &registry->stopping,
        .log = THROTTLED_LOG_NEW,
    };
    http_client_count(registry->deletion.client, &agent->tally.registry);
    http_client_count(registry->mint.client, &agent->tally.registry);
    registry->worker = worker_start("registry", step, registry);
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
    setup_drop(registry->seen);
    free(registry);
}

void registry_wake(struct registry *registry)
{
    if (registry)
        worker_wake(registry->worker);
}

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

static int get_token(struct registry *registry, const struct config *config, uint32_t vmid,
                     int64_t deadline_us, struct buffer *out, struct error *error)
{
    if (config->registry.mode == REGISTRY_NONE)
        return fail(error, ERROR_MISSING, "there is no registry credential");
    if (config->registry.mode == REGISTRY_STATIC)
        return registry_read_secret(config, out, error);
    int result = registry_mint(&registry->mint, config, vmid, deadline_us, out, error);
    /* It may have left something behind, or ended the tokens before it. */
    registry_wake(registry);
    return result;
}

int registry_credential_get(struct registry *registry, const struct config *config, uint32_t vmid,
                            int64_t deadline_us, struct registry_credential *ret,
                            struct error *error)
{
    cleanup_buffer struct buffer token = BUFFER_EMPTY;
    if (get_token(registry, config, vmid, deadline_us, &token, error) < 0)
        return -1;
    *ret = (struct registry_credential){
        .host = mem_copy_text(config->registry.host),
        .username = mem_copy_text(config->registry.username),
        .token = token,
    };
    token = BUFFER_EMPTY;
    return 0;
}
