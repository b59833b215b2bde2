/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon as a whole, as the main thread starts, reloads and stops it. All functions are for the
 * main thread only; other threads know struct context alone. */
#ifndef FELHOM_AGENT_H
#define FELHOM_AGENT_H

#include <stdbool.h>

#include "schema/agent/pin.h"
#include "schema/base/error.h"
#include "server/base/context.h"
#include "server/systemd/handover.h"

struct exporter;

struct agent {
    struct context context;    /* what all threads share */
    struct exporter *exporter; /* to Prometheus; NULL until the agent listens */
    struct handover handover;  /* the listening socket */
    struct pins pins;          /* of the certificate that is shown */
    bool host_unsaved;         /* the store has not learnt them, or the configuration, yet */
};

/*
 * Loads STATE/tls: fills in the pins of its certificate, and makes sure that the key is there and
 * belongs to a certificate. On failure the error names the file and says what to do.
 */
int agent_load_identity(const struct server_config *config, struct pins *ret, struct error *error);

/*
 * Configuration, store and identity, without listening yet. As root it becomes the state
 * directory's owner first, if that is felhom-agent. Ends with agent_close.
 */
int agent_open(struct agent *agent, struct error *error);
void agent_close(struct agent *agent);

/* Finds out the address to listen on and who may connect. ERROR_MISSING while the address is not
 * there yet: nothing has changed then, and this may be called again. */
int agent_locate(struct agent *agent, struct error *error);

/* Starts the threads and begins to listen, after agent_locate; to be called once. On failure,
 * agent_close ends what was started. */
int agent_start(struct agent *agent, struct error *error);

/* Stops listening; waits for the requests under way. */
void agent_stop(struct agent *agent);

/*
 * Reads the configuration and the identity again and puts them in force. On failure the old ones
 * stay; only when not even they could be restored is agent_listens false afterwards.
 */
int agent_reload(struct agent *agent, struct error *error);

/* Has new connections shown the certificate that lies in STATE/tls now, if it is another: no
 * connection is refused or ended for it. On failure the log says so, and the old one stays. */
void agent_follow_identity(struct agent *agent);

bool agent_listens(struct agent *agent);

#endif
