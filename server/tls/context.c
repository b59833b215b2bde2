/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tls/context.h"

#include <errno.h>
#include <mbedtls/error.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/mbedtls.h"
#include "schema/base/memory.h"

int tls_fail(struct error *error, int code, const char *what)
{
    char reason[128];
    mbedtls_heed_memory(code);
    mbedtls_strerror(code, reason, sizeof(reason));
    return fail(error, ERROR_SYSTEM, "%s: %s", what, reason);
}

static struct tls_context *context_alloc(const struct tls_limits *limits)
{
    struct tls_context *context = mem_new(struct tls_context);
    context->limits = *limits;
    context->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    (void)pthread_mutex_init(&context->lock, NULL);
    return context;
}

int tls_context_new(const char *pem_file, const struct tls_limits *limits, struct tls_context **ret,
                    struct error *error)
{
    int result = 0;
    struct tls_context *context = context_alloc(limits);
    if (context->interrupt_fd < 0)
        result = fail_errno(error, errno, "cannot make an eventfd");
    if (result == 0)
        result = tls_generation_new(pem_file, &context->generation, error);
    if (result < 0)
        tls_context_free(context);
    else
        *ret = context;
    return result;
}

void tls_context_free(struct tls_context *context)
{
    if (!context)
        return;
    tls_generation_drop(context->generation);
    (void)pthread_mutex_destroy(&context->lock);
    cleanup_close_fn(&context->interrupt_fd);
    free(context);
}

int tls_context_renew(struct tls_context *context, const char *pem_file, struct error *error)
{
    struct tls_generation *new;
    if (tls_generation_new(pem_file, &new, error) < 0)
        return -1;
    (void)pthread_mutex_lock(&context->lock);
    struct tls_generation *old = context->generation;
    context->generation = new;
    (void)pthread_mutex_unlock(&context->lock);
    tls_generation_drop(old);
    return 0;
}

struct tls_generation *tls_context_hold(struct tls_context *context)
{
    (void)pthread_mutex_lock(&context->lock);
    struct tls_generation *generation = tls_generation_hold(context->generation);
    (void)pthread_mutex_unlock(&context->lock);
    return generation;
}

void tls_context_pins(struct tls_context *context, struct pins *ret)
{
    struct tls_generation *generation = tls_context_hold(context);
    tls_generation_pins(generation, ret);
    tls_generation_drop(generation);
}

void tls_context_interrupt(struct tls_context *context)
{
    (void)eventfd_write(context->interrupt_fd, 1);
}
