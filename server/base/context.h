/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What requests and background threads are answered from: the configuration in force, the store,
 * the counters, and the modules that ask the world beyond the host. Every folder of server/ may
 * include this header; it knows the modules as pointers only, so it depends on none of them.
 *
 * server/agent.c fills it before the first thread starts and empties it after the last has ended;
 * in between only config and listener change.
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
    struct reply_cache *storage_cache; /* to GET /storage */
    struct counters counters;
    struct throttled_log log;     /* what keeps requests from being answered */
    struct refusals *refusals;    /* what was logged of refused requests, and when */
    struct gate *gate;            /* NULL until the daemon listens for the first time */
    struct host_figures *figures; /* the host's figures */
    struct waiters *waiters; /* requests that wait for an event; this and the next three are NULL
                                until the daemon listens for the first time */
    struct jobs *jobs;
    struct hub *hub;
    struct registry *registry;
    struct pve_client *pve_client;       /* for requests; jobs have their own */
    struct bounded_lock pve_lock;        /* guards pve_client */
    _Atomic(struct listener *) listener; /* NULL while the daemon does not listen */
};

/* Only the lock, the log and the counters are ready afterwards; all else is zero. */
void context_init(struct context *context);

/* Frees what context_init made. The members are their owners' to free. */
void context_destroy(struct context *context);

/* Returns the configuration in force with a reference that the caller drops
 * (cleanup_server_config). Safe to use from many threads. */
struct server_config *context_config(struct context *context);

/* Puts config in force. Takes over the caller's reference to it. Requests under way keep the old
 * one until they drop it. */
void context_set_config(struct context *context, struct server_config *config);

#endif
