/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One reading of the configuration with what follows from it. Whoever answers a request holds the
 * one that was in force when it came, so that a reload never changes it half-way.
 */
#ifndef FELHOM_SETUP_H
#define FELHOM_SETUP_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "schema/agent/config.h"
#include "schema/base/cleanup.h"
#include "schema/base/error.h"

struct setup {
    atomic_uint holders;
    uint64_t serial; /* no two have the same */
    struct config config;
    struct sockaddr_in address; /* from here on only after setup_locate */
    struct cidr network;
    const struct cidr *allow; /* the configured networks, else the one above */
    size_t allow_count;
};

/* Reads agent.yaml. The caller holds the result and ends that with setup_drop. */
int setup_load(struct setup **ret, struct error *error);

/* Finds out where to listen and who may come. ERROR_MISSING while the network is not there yet. */
int setup_locate(struct setup *setup, struct error *error);

struct setup *setup_hold(struct setup *setup);

/* The last one frees it. NULL is fine. */
void setup_drop(struct setup *setup);

static inline void setup_drop_fn(struct setup **setup)
{
    setup_drop(*setup);
}
#define cleanup_setup cleanup(setup_drop_fn)

/* Whether the listener has to be started anew for the second to come into force after the first. */
bool setup_moves_listener(const struct setup *from, const struct setup *to);

#endif
