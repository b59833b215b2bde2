/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.yaml as felhomd read it at one time, with the address to listen on and the networks to
 * admit that follow from it. It is reference-counted: a request holds the one that was in force
 * when the request came, so a reload never changes a request's configuration half-way.
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
    uint64_t serial; /* differs between any two that were loaded */
    struct config config;
    struct sockaddr_in address; /* where to listen; this and the rest from server_config_locate */
    struct cidr network;        /* of that address */
    const struct cidr *allow;   /* local_api.allow, or the network above where it is empty */
    size_t allow_count;
};

/* Reads agent.yaml. The caller owns the one reference to *ret. */
int server_config_load(struct server_config **ret, struct error *error);

/* Finds out where to listen and which networks to admit. ERROR_MISSING while the host does not have
 * the address yet; ERROR_INVALID for 0.0.0.0 without local_api.allow. */
int server_config_locate(struct server_config *config, struct error *error);

/* Takes a further reference and returns config. */
struct server_config *server_config_ref(struct server_config *config);

/* Drops a reference; the last one frees. NULL is fine. */
void server_config_unref(struct server_config *config);

static inline void server_config_unref_fn(struct server_config **config)
{
    server_config_unref(*config);
}
#define cleanup_server_config cleanup(server_config_unref_fn)

/* True if the listener must be replaced for new to take effect after old. */
bool server_config_moves_listener(const struct server_config *old, const struct server_config *new);

#endif
