/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon as a whole: what every request is answered from, and how it is started, reloaded and
 * stopped. */
#ifndef FELHOM_AGENT_H
#define FELHOM_AGENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "schema/agent/pin.h"
#include "schema/base/error.h"
#include "server/base/limiter.h"
#include "server/base/setup.h"
#include "server/base/store_pool.h"
#include "server/base/tally.h"
#include "server/http/refusal.h"
#include "server/http/reply.h"
#include "server/net/gate.h"
#include "server/net/listener.h"
#include "server/sweep.h"
#include "server/systemd/handover.h"

struct exporter;
struct hub;
struct jobs;
struct kept_answers;
struct host_figures;
struct pve_client;
struct registry;
struct request;
struct watch;

struct agent {
    pthread_mutex_t lock; /* of setup */
    struct setup *setup;  /* never NULL; ask agent_setup for it */
    struct store_pool *stores;
    struct kept_answers *storage_answers; /* to GET /storage */
    struct refusals *refusals;
    struct tally tally;
    struct throttled_log log; /* of what keeps requests from being answered */
    struct gate *gate;
    struct host_figures *figures;
    struct exporter *exporter; /* of counts, to Prometheus; this and the next four from agent_start
                                  on */
    struct watch *watch;
    struct jobs *jobs;
    struct hub *hub;
    struct registry *registry;
    struct turnstile pve_turnstile;      /* before pve_client */
    struct pve_client *pve_client;       /* for requests; the jobs have their own */
    struct handover handover;            /* of what is listened on; the main thread's */
    _Atomic(struct listener *) listener; /* NULL while it is being started */
    struct sweep sweep;                  /* the main thread's */
    struct pins pins;                    /* of the certificate that is shown; the main thread's */
    bool untold;                         /* the store has not heard of them yet; the same */
};

/* The configuration in force, held for the caller, who ends that with setup_drop. */
struct setup *agent_setup(struct agent *agent);

/* Whether connections should not be kept any longer than for one request. */
bool agent_crowded(struct agent *agent);

/*
 * Configuration, store and identity, without listening yet. As root it becomes the state
 * directory's owner first, if that is felhom-agent. Ends with agent_close.
 */
int agent_open(struct agent *agent, struct error *error);
void agent_close(struct agent *agent);

/* Begins to listen. ERROR_MISSING while the address is not there yet: nothing has changed then. */
int agent_start(struct agent *agent, struct error *error);

/* Waits for the requests under way. */
void agent_stop(struct agent *agent);

/*
 * Reads the configuration and the identity again and puts them in force. On failure the old ones
 * stay; only when not even they could be restored is agent_listens false afterwards.
 */
int agent_reload(struct agent *agent, struct error *error);

/* Has the certificate shown that lies there now, if it is another: no connection is refused or
 * ended for it. On failure the log says so, and the old one stays. For the main thread. */
void agent_follow_identity(struct agent *agent);

/* The store or the settings are others: those who work in the background look again. */
void agent_wake_workers(const struct agent *agent);
bool agent_listens(struct agent *agent);

/*
 * For a request that could not be answered because of error: says so in the log, gives the loan up
 * if it is spoilt (NULL: none), and answers 503, or 500 where a document of the operator's is at
 * fault. The guest learns nothing of the reason.
 */
void agent_fail(struct agent *agent, struct store_loan *loan, const struct error *error,
                struct reply *reply);

/* For a request that the world beyond the host (Proxmox, registry) kept from being answered: 503
 * with the reason, which the guest may know. */
void agent_outside_fail(struct agent *agent, const struct error *error, struct reply *reply);

/* Until when a request that came just now may wait for the world beyond the host, by
 * clock_steady_us. */
int64_t agent_request_deadline_us(const struct request *request);

#endif
