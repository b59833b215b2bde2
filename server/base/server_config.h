/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.yaml as felhomd read it at one time, together with what follows from it: the address to
 * listen on and the networks to admit. The struct is reference-counted: each request holds the one
 * that was in force when the request came, so a reload never changes the configuration in the
 * middle of a request.
 */
#ifndef FELHOM_SERVER_CONFIG_H
#define FELHOM_SERVER_CONFIG_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "schema/agent/config.h"
#include "schema/base/cleanup.h"
#include "schema/base/error.h"

struct server_config {
    atomic_uint references;
    uint64_t serial; /* no two loaded configurations have the same one */
    struct config config;
    struct sockaddr_in address; /* where to listen; server_config_locate sets this and the rest */
    struct cidr network;        /* the network of that address */
    const struct cidr *allow;   /* local_api.allow; if that is empty, the network above */
    size_t allow_count;
};

/* Reads agent.yaml. The caller owns the one reference to *ret. */
int server_config_load(struct server_config **ret, struct error *error);

/* Finds the address to listen on and the networks to admit. ERROR_MISSING while the host does
 * not have the address yet; ERROR_INVALID for 0.0.0.0 without local_api.allow. Must not run while
 * another thread uses config. */
int server_config_locate(struct server_config *config, struct error *error);

/* Takes one more reference and returns config. Any thread that holds a reference may call it. */
struct server_config *server_config_ref(struct server_config *config);

/* Drops a reference; whoever drops the last one frees the struct. NULL is allowed. Any thread
 * may call it. */
void server_config_unref(struct server_config *config);

static inline void server_config_unref_fn(struct server_config **config)
{
    server_config_unref(*config);
}
#define cleanup_server_config cleanup(server_config_unref_fn)

/* True if going from old to new needs a new listener: another address, number of threads or time
 * limit. */
bool server_config_moves_listener(const struct server_config *old, const struct server_config *new);

#endif
