/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/setup.h"

#include <stdlib.h>

#include "schema/base/memory.h"
#include "store/documents/settings.h"
#include "store/host/endpoint.h"

int setup_load(struct setup **ret, struct error *error)
{
    static atomic_uint_fast64_t loaded;
    struct config config;
    if (settings_load(&config, error) < 0)
        return -1;
    struct setup *setup = mem_new(struct setup);
    atomic_init(&setup->holders, 1);
    setup->serial = atomic_fetch_add(&loaded, 1);
    setup->config = config;
    *ret = setup;
    return 0;
}

/* The network of the address, which also tells whether the address is there yet. */
static int find_network(struct setup *setup, struct error *error)
{
    bool everywhere = setup->address.sin_addr.s_addr == htonl(INADDR_ANY);
    if (everywhere && setup->config.local_api.allow_count == 0)
        return fail(error, ERROR_INVALID, "local_api.listen 0.0.0.0 needs local_api.allow");
    return everywhere ? 0 : endpoint_network(&setup->address, &setup->network, error);
}

int setup_locate(struct setup *setup, struct error *error)
{
    if (endpoint_resolve(&setup->config, &setup->address, error) < 0 ||
        find_network(setup, error) < 0)
        return -1;
    bool configured = setup->config.local_api.allow_count > 0;
    setup->allow = configured ? setup->config.local_api.allow : &setup->network;
    setup->allow_count = configured ? setup->config.local_api.allow_count : 1;
    return 0;
}

struct setup *setup_hold(struct setup *setup)
{
    (void)atomic_fetch_add(&setup->holders, 1);
    return setup;
}

void setup_drop(struct setup *setup)
{
    if (!setup || atomic_fetch_sub(&setup->holders, 1) > 1)
        return;
    config_free(&setup->config);
    free(setup);
}

bool setup_moves_listener(const struct setup *from, const struct setup *to)
{
    return from->address.sin_addr.s_addr != to->address.sin_addr.s_addr ||
           from->address.sin_port != to->address.sin_port ||
           from->config.limits.threads != to->config.limits.threads ||
           from->config.limits.handshake_ms != to->config.limits.handshake_ms ||
           from->config.limits.request_ms != to->config.limits.request_ms;
}
