/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hub: the operator's server beyond the host. One worker thread has two things to do:
 *
 *   pull.c       GET {hub.url}/api/v1/config/{customer} for each guest, with the guest's own
 *                retrieval password, into the store. Guests are answered from the store alone.
 *   heartbeat.c  POST {hub.url}/api/v1/host-report, with the host's key.
 *
 * hub.c runs both; what the three files share is below.
 */
#ifndef FELHOM_HUB_H
#define FELHOM_HUB_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/agent/hub_reply.h"
#include "schema/base/buffer.h"
#include "server/base/limiter.h"
#include "server/base/store_pool.h"
#include "server/outbound/http_client.h"
#include "store/host/host.h"

struct context;
struct host_figures;
struct hub;

/* Starts the worker thread. Ends with hub_stop. */
struct hub *hub_start(struct context *context);

/* Waits for the request under way, which is aborted within a second. NULL is fine. */
void hub_stop(struct hub *hub);

/* Something was committed, perhaps an enrolment; or the settings have changed. From any thread;
 * NULL is fine. */
void hub_wake(struct hub *hub);

/* --- a request to the hub: hub.c --- */

struct hub_request {
    const char *path;       /* below hub.url, without a slash in front */
    const char *credential; /* the header that carries it, up to and with its blank */
    const char *secret;
    const struct buffer *body; /* JSON, to be posted; NULL: a GET */
};

/* As http_client_perform. The reply may be as large as a configuration may be. */
int hub_request_perform(struct http_client *client, const struct config *config,
                        const struct hub_request *request, struct http_reply *ret,
                        struct error *error);

/* --- guests' configurations: pull.c --- */

/* Times by clock_steady_us. */
struct hub_puller {
    struct store_pool *stores;
    struct http_client *client;
    const atomic_bool *stopping;
    struct throttled_log log;
    uint32_t unreached;   /* requests in a row that did not reach the hub */
    int64_t reach_at_us;  /* when to try to reach it again */
    int64_t looked_at_us; /* when the guests were last looked through */
};

/*
 * Looks through the guests, at most once a second, and pulls for those that are due, for a few
 * seconds. fresh: the settings have changed, or the daemon has just started: what failed is due
 * now. Returns when to call again.
 *
 * What fails is tried again by worker_backoff_ms, up to hub.poll; a customer that the hub refuses
 * (401: wrong password, 404: unknown) only once URL, customer or password have changed. While the
 * hub cannot be reached at all, the guests that were asked for before wait together, so that a hub
 * that hangs is asked for one of them at a time.
 */
int64_t hub_pull_turn(struct hub_puller *puller, const struct config *config, bool fresh);

/* --- the host's report: heartbeat.c --- */

struct hub_heartbeat {
    struct store_pool *stores;
    struct http_client *client;
    struct host_figures *figures;
    const atomic_bool *stopping;
    bool is_logged;                                      /* the hub's last reply is in the log */
    struct hub_reply reply;                              /* the last one */
    uint32_t poll_seconds;                               /* as the hub said last; 0: never */
    uint32_t failures;                                   /* since the last success */
    char problem[sizeof((struct error *)NULL)->message]; /* of the last failure */
    int64_t next_at_us;                                  /* by clock_steady_us */
};

/*
 * Sends the report if it is time: at the start and then every hub.poll, or as often as the hub
 * itself says. fresh: the settings have changed, or the daemon has just started: it is time.
 * Without hub.api_key_file there is no report. Returns when to call again, by clock_steady_us;
 * INT64_MAX: not under these settings.
 */
int64_t hub_heartbeat_turn(struct hub_heartbeat *heartbeat, const struct config *config,
                           bool fresh);

#define HUB_REPORT_LIMIT ((size_t)4 << 20) /* more the hub does not take */

struct hub_report_frame {
    const struct config *config;
    const struct host *host;
    json_t *figures; /* by host_figures_describe; changed */
    uint32_t poll_seconds;
    int64_t now_ms;
};

/*
 * Adds the report as JSON: {schema: "felhom.host-report/v1", host_id, node, agent_version, at,
 * poll_seconds, metrics, storages: [{storage, class, backup_target, total_bytes, used_bytes, at}],
 * guests: [{vmid, status, customer, spec: {kind, name, mount_form}}], backups: [{vmid, phase, at,
 * archive, age_seconds, error}], restore_tests: [{vmid, passed, at, archive, error}]}.
 * ERROR_INVALID where it is over HUB_REPORT_LIMIT.
 */
int hub_report_render(struct store *store, const struct hub_report_frame *frame, struct buffer *out,
                      struct error *error);

#endif
