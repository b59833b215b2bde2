/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/context.h"

void context_init(struct context *context)
{
    *context = (struct context){.log = THROTTLED_LOG_NEW};
    (void)pthread_mutex_init(&context->lock, NULL);
    bounded_lock_init(&context->pve_lock);
}

void context_destroy(struct context *context)
{
    server_config_unref(context->config);
    bounded_lock_destroy(&context->pve_lock);
    (void)pthread_mutex_destroy(&context->log.lock);
    (void)pthread_mutex_destroy(&context->lock);
}

struct server_config *context_config(struct context *context)
{
    (void)pthread_mutex_lock(&context->lock);
    struct server_config *config = server_config_ref(context->config);
    (void)pthread_mutex_unlock(&context->lock);
    return config;
}

void context_set_config(struct context *context, struct server_config *config)
{
    (void)pthread_mutex_lock(&context->lock);
    struct server_config *old = context->config;
    context->config = config;
    (void)pthread_mutex_unlock(&context->lock);
    server_config_unref(old);
}
