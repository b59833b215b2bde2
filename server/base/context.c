/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/context.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schema/base/memory.h"
#include "server/base/lock.h"
#include "store/host/host.h"

/* --- the configuration --- */

int server_config_load(struct server_config **ret, struct error *error)
{
    static atomic_uint_fast64_t loaded;
    struct config config;
    char mark[CONFIG_MARK_SIZE];
    if (config_file_load_marked(&config, mark, error) < 0)
        return -1;
    struct server_config *new = mem_new(struct server_config);
    memcpy(new->mark, mark, sizeof mark);
    atomic_init(&new->references, 1);
    new->serial = atomic_fetch_add(&loaded, 1);
    new->config = config;
    *ret = new;
    return 0;
}

/* Finds the network of the address. The lookup also tells whether the host has the address yet. */
static int server_config_find_network(struct server_config *config, struct error *error)
{
    bool everywhere = config->address.sin_addr.s_addr == htonl(INADDR_ANY);
    if (everywhere && config->config.local_api.allow_count == 0)
        return fail(error, ERROR_INVALID, "local_api.listen 0.0.0.0 needs local_api.allow");
    return everywhere ? 0 : host_network(&config->address, &config->network, error);
}

int server_config_locate(struct server_config *config, struct error *error)
{
    if (host_endpoint(&config->config, &config->address, error) < 0 ||
        server_config_find_network(config, error) < 0)
        return -1;
    bool configured = config->config.local_api.allow_count > 0;
    config->allow = configured ? config->config.local_api.allow : &config->network;
    config->allow_count = configured ? config->config.local_api.allow_count : 1;
    return 0;
}

struct server_config *server_config_ref(struct server_config *config)
{
    (void)atomic_fetch_add(&config->references, 1);
    return config;
}

void server_config_unref(struct server_config *config)
{
    if (!config || atomic_fetch_sub(&config->references, 1) > 1)
        return;
    config_free(&config->config);
    free(config);
}

bool server_config_moves_listener(const struct server_config *old, const struct server_config *new)
{
    return old->address.sin_addr.s_addr != new->address.sin_addr.s_addr ||
           old->address.sin_port != new->address.sin_port ||
           old->config.limits.threads != new->config.limits.threads ||
           old->config.limits.handshake_ms != new->config.limits.handshake_ms ||
           old->config.limits.request_ms != new->config.limits.request_ms;
}

/* --- the context --- */

void context_init(struct context *context)
{
    *context = (struct context){.log = THROTTLED_LOG_NEW};
    (void)pthread_mutex_init(&context->lock, NULL);
}

void context_destroy(struct context *context)
{
    server_config_unref(context->config);
    (void)pthread_mutex_destroy(&context->log.lock);
    (void)pthread_mutex_destroy(&context->lock);
}

struct server_config *context_config(struct context *context)
{
    lock_scope(&context->lock);
    return server_config_ref(context->config);
}

void context_set_config(struct context *context, struct server_config *config)
{
    (void)pthread_mutex_lock(&context->lock);
    struct server_config *old = context->config;
    context->config = config;
    (void)pthread_mutex_unlock(&context->lock);
    server_config_unref(old);
}

void context_doubt_store(struct context *context)
{
    if (!atomic_exchange(&context->store_in_doubt, true))
        (void)kill(getpid(), SIGNAL_STORE_IN_DOUBT);
}
