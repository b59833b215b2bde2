/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every thread of felhomd shares: the configuration in force, which requests keep until they
 * are answered, the store, the counters, and pointers to the modules that keep state. Every folder
 * of server/ may include this header; it declares the modules' structs only, so it depends on none
 * of them.
 *
 * server/agent.c sets each member before it starts the first thread that reads the member, and
 * frees the members after the last thread has ended. In between only three members change: config
 * (under lock), and listener and store_in_doubt (atomic).
 */
#ifndef FELHOM_CONTEXT_H
#define FELHOM_CONTEXT_H

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "schema/agent/config.h"
#include "schema/base/cleanup.h"
#include "schema/base/error.h"
#include "server/base/counters.h"
#include "server/base/limiter.h"
#include "server/base/store_pool.h"
#include "store/files/config_file.h"

/*
 * --- the configuration ---
 *
 * agent.yaml as felhomd read it at one time, together with what follows from it: the address to
 * listen on and the networks to admit. The struct is reference-counted: each request holds the one
 * that was in force when the request came, so a reload never changes the configuration in the
 * middle of a request.
 */

struct server_config {
    atomic_uint references;
    uint64_t serial; /* no two loaded configurations have the same one */
    struct config config;
    char mark[CONFIG_MARK_SIZE]; /* of the agent.yaml that was read */
    struct sockaddr_in address;  /* where to listen; server_config_locate sets this and the rest */
    struct cidr network;         /* the network of that address */
    const struct cidr *allow;    /* local_api.allow; if that is empty, the network above */
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

/* --- the context --- */

struct arrivals;
struct gate;
struct guest_refresh;
struct hub;
struct jobs;
struct reply_cache;
struct listener;
struct host_figures;
struct refusals;
struct registry;
struct snapshot_lists;
struct waiters;
struct witness;

struct context {
    pthread_mutex_t lock;         /* guards config */
    struct server_config *config; /* never NULL once loaded; use context_config */
    struct store_pool *stores;
    struct reply_cache *storage_cache; /* bodies of GET /storage */
    struct counters counters;
    struct throttled_log log;  /* rate-limited: failures that keep requests from being answered */
    struct refusals *refusals; /* when each kind of refusal was last logged */
    struct guest_refresh *guest_refresh; /* reads changed configurations of running guests */
    struct witness *witness;             /* NULL without CAP_NET_RAW */
    struct arrivals *arrivals;    /* how each connection came in; NULL until the daemon listens */
    struct gate *gate;            /* NULL until the daemon listens for the first time */
    struct host_figures *figures; /* load, memory, storages of the host */
    struct waiters *waiters; /* connections that wait for an event; this and the next three are NULL
                                until the daemon listens for the first time */
    struct jobs *jobs;
    struct hub *hub;
    struct registry *registry;
    struct snapshot_lists *snapshots;    /* what request threads ask Proxmox for */
    _Atomic(struct listener *) listener; /* NULL while the daemon does not listen */
    atomic_bool store_in_doubt;          /* the main thread is to audit the store */
};

/* The signal on which the main thread audits the store, if that is in doubt. */
#define SIGNAL_STORE_IN_DOUBT SIGUSR2

/* Has the main thread audit the store. Any thread may call it. */
void context_doubt_store(struct context *context);

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
