/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon as a whole: agent_open makes everything that struct context points to, agent_start
 * starts the threads and begins to listen, agent_reload puts a new configuration in force,
 * agent_follow_identity a new certificate, agent_stop and agent_close end it. server/main.c calls
 * these functions, all in the main thread; the other threads know struct context only. */
#ifndef FELHOM_AGENT_H
#define FELHOM_AGENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "schema/agent/pin.h"
#include "schema/base/error.h"
#include "server/base/context.h"
#include "server/events/wakeup.h"
#include "server/systemd/handover.h"
#include "store/files/file.h"

struct exporter;

/* The files of which an audit of the store compares the contents. */
struct store_mark {
    struct file_mark database;
    struct file_mark records;
};

/* The thread that copies the store's log into the database: a slow disk must not hold up the main
 * thread. */
struct checkpointer {
    pthread_t thread;
    bool started; /* and not yet joined */
    atomic_bool ended;
    int64_t due_us;                 /* not before */
    struct file_mark before, after; /* the database around the last checkpoint */
};

struct agent {
    struct context context;    /* shared by all threads */
    struct exporter *exporter; /* the metrics for Prometheus; NULL until the agent listens */
    struct handover handover;  /* keeps the listening socket across restarts */
    struct pins pins;          /* of the certificate that connections are shown */
    struct store_mark audited; /* what was there when the store was last audited */
    int64_t audited_us;        /* when that was tried; 0: never */
    int64_t missing_us;        /* since when there has been no store; 0: there is one */
    struct checkpointer checkpointer;
    bool host_unsaved; /* the pins or the configuration could not be written to the store yet */
    struct file_mark identity; /* of the certificate at agent_follow_identity's last look */
    bool identity_failed;      /* that one could not be shown */
};

/*
 * Loads STATE/tls: fills in the pins of its certificate, and checks that the key exists and belongs
 * to a certificate. On failure the error names the file and says what to do.
 */
int agent_load_identity(const struct server_config *config, struct pins *ret, struct error *error);

/*
 * Loads the configuration and the identity and opens the store, without listening. If the process
 * is root, it becomes the user felhom-agent first (privileges_drop). To be ended with agent_close,
 * after a failure as well.
 */
int agent_open(struct agent *agent, struct error *error);

/* Opens the packet socket that agent_open needs and leaves it with the service manager, for a
 * felhomd that may not open one. */
int agent_leave_packet_socket(struct error *error);
void agent_close(struct agent *agent);

/* Finds the address to listen on and the networks to admit. ERROR_MISSING while the host does
 * not have the address: then nothing has changed, and the function may be called again. */
int agent_locate(struct agent *agent, struct error *error);

/* Starts the threads and begins to listen. To be called once, after agent_locate. After a
 * failure agent_close ends what was started. */
int agent_start(struct agent *agent, struct error *error);

/*
 * Audits the store (token_audit) if it is in doubt, or if the database or the record of the tokens
 * was changed since the last audit. Has new tokens given to running guests if the store has lost
 * them, and makes a new store if there has been none for a while. And if commits are in the store's
 * log alone, has it copied into the database, so that little can be lost with the log.
 */
void agent_watch_store(struct agent *agent);

/* Stops listening, and returns when the requests under way have been answered. */
void agent_stop(struct agent *agent);

/*
 * Reads the configuration and the identity again and puts them in force. On failure the old ones
 * stay in force; agent_listens is false afterwards only if the old listener could not be started
 * again either.
 */
int agent_reload(struct agent *agent, struct error *error);

/* If another certificate lies in STATE/tls than the one shown so far, shows it to new
 * connections; no connection is refused or closed for that. On failure the log says so, and the old
 * certificate stays. */
void agent_follow_identity(struct agent *agent);

/* True while a listener runs. */
bool agent_listens(struct agent *agent);

#endif
