/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every thread of felhomd shares: the configuration in force, the store, the counters, and
 * pointers to the modules that keep state. Every folder of server/ may include this header; it
 * declares the modules' structs only, so it depends on none of them.
 *
 * server/agent.c sets each member before it starts the first thread that reads the member, and
 * frees the members after the last thread has ended. In between only two members change: config
 * (under lock) and listener (atomic).
 */
#ifndef FELHOM_CONTEXT_H
#define FELHOM_CONTEXT_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/base/counters.h"
#include "server/base/limiter.h"
#include "server/base/server_config.h"
#include "server/base/store_pool.h"

struct gate;
struct hub;
struct jobs;
struct reply_cache;
struct listener;
struct host_figures;
struct pve_client;
struct refusals;
struct registry;
struct waiters;

struct context {
    pthread_mutex_t lock;         /* guards config */
    struct server_config *config; /* never NULL once loaded; use context_config */
    struct store_pool *stores;
    struct reply_cache *storage_cache; /* bodies of GET /storage */
    struct counters counters;
    struct throttled_log log;  /* rate-limited: failures that keep requests from being answered */
    struct refusals *refusals; /* when each kind of refusal was last logged */
    struct gate *gate;         /* NULL until the daemon listens for the first time */
    struct host_figures *figures; /* load, memory, storages of the host */
    struct waiters *waiters; /* connections that wait for an event; this and the next three are NULL
                                until the daemon listens for the first time */
    struct jobs *jobs;
    struct hub *hub;
    struct registry *registry;
    struct pve_client *pve_client;       /* for request threads; the jobs thread has its own */
    struct bounded_lock pve_lock;        /* guards pve_client */
    _Atomic(struct listener *) listener; /* NULL while the daemon does not listen */
};

/* Makes the locks, the log and the counters ready; every other member is zero afterwards. */
void context_init(struct context *context);

/* Destroys what context_init made and drops the reference to config. Every other member must
 * have been freed by its owner before. */
void context_destroy(struct context *context);

/* Returns the configuration in force with a reference that the caller drops
 * (cleanup_server_config). Any thread may call it. */
struct server_config *context_config(struct context *context);

/* Puts config in force and takes over the caller's reference to it. Requests under way keep the
 * old configuration until they drop their references. Main thread only. */
void context_set_config(struct context *context, struct server_config *config);

#endif
