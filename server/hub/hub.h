/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hub: a server of the operator, outside this host. One worker thread talks to it:
 *
 *   pull.c  gets each guest's configuration, GET {hub.url}/api/v1/config/{customer}, with the
 *           guest's own retrieval password, and records it in the store
 *   hub.c   posts a report about the host, POST {hub.url}/api/v1/host-report, with the key in
 *           hub.api_key_file; also the worker thread, and how a request to the hub is made
 *
 * Guests are answered from the store alone, so a hub that is away delays nobody. This header is for
 * both files. Except for hub_start, hub_stop and hub_wake, everything in it is for the worker
 * thread.
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

/* Starts the worker thread. The context is borrowed. Ends with hub_stop. */
struct hub *hub_start(struct context *context);

/* Ends the thread. A request that is under way is aborted within a second. NULL is allowed. */
void hub_stop(struct hub *hub);

/* Tells the worker that something was committed, perhaps an enrolment, or that the configuration
 * has changed. Any thread may call it. NULL is allowed. */
void hub_wake(struct hub *hub);

/* --- a request to the hub: hub.c --- */

struct hub_request {
    const char *path;       /* the path below hub.url, without a slash in front */
    const char *credential; /* the header that carries the secret, up to and including the blank */
    const char *secret;
    const struct buffer *body; /* JSON to be posted; NULL: the request is a GET */
};

/* Sends the request; fails as http_client_perform does. A reply may have up to 1 MiB. */
int hub_request_perform(struct http_client *client, const struct config *config,
                        const struct hub_request *request, struct http_reply *ret,
                        struct error *error);

/* --- guests' configurations: pull.c --- */

/* Belongs to the worker thread. Times are by clock_steady_us. */
struct hub_puller {
    struct store_pool *stores;
    struct http_client *client;
    const atomic_bool *stopping;
    struct throttled_log log;
    uint32_t unreached;   /* how many requests in a row did not reach the hub */
    int64_t reach_at_us;  /* when to try again to reach the hub */
    int64_t looked_at_us; /* when the store was last searched for due guests */
};

/*
 * Finds the guests whose configuration is due, at most once a second, and pulls it for one after
 * the other, for a few seconds at most. fresh: the configuration has changed, or felhomd has just
 * started, so all that failed is due now. Returns when to call again, by clock_steady_us.
 *
 * What failed is tried again after worker_backoff_ms, up to hub.poll. A customer whom the hub
 * refuses (401: wrong password; 404: unknown) is tried again only after the URL, the customer or
 * the password has changed. While the hub cannot be reached, the guests for which it was asked
 * before wait together, so that it is asked about only one of them at a time.
 */
int64_t hub_pull_turn(struct hub_puller *puller, const struct config *config, bool fresh);

/* --- the host's report: hub.c --- */

struct hub_heartbeat {
    struct store_pool *stores;
    struct http_client *client;
    struct host_figures *figures;
    const atomic_bool *stopping;
    bool is_logged;         /* the hub's last reply was logged */
    struct hub_reply reply; /* the last reply */
    uint32_t poll_seconds;  /* the interval that the hub has asked for; 0: it has not */
    uint32_t failures;      /* failures since the last success */
    char problem[sizeof((struct error *)NULL)->message]; /* the message of the last failure */
    int64_t next_at_us; /* when the next report is due, by clock_steady_us */
};

/*
 * Sends the report if it is due: at the start, and then every hub.poll or as often as the hub has
 * asked for. fresh: the configuration has changed, or felhomd has just started, so a report is due
 * now. Sends nothing without hub.api_key_file. Returns when to call again, by clock_steady_us;
 * INT64_MAX: not with this configuration.
 */
int64_t hub_heartbeat_turn(struct hub_heartbeat *heartbeat, const struct config *config,
                           bool fresh);

#define HUB_REPORT_LIMIT ((size_t)4 << 20) /* bytes; the hub accepts no more */

/* What a report is made from besides the store. The pointers are borrowed. */
struct hub_report_frame {
    const struct config *config;
    const struct host *host;
    json_t *figures; /* from host_figures_describe; the function changes it */
    uint32_t poll_seconds;
    int64_t now_ms;
};

/*
 * Adds the report to out as JSON: {schema: "felhom.host-report/v1", host_id, node, agent_version,
 * at, poll_seconds, metrics, storages: [{storage, class, backup_target, total_bytes, used_bytes,
 * at}], guests: [{vmid, status, customer, spec: {kind, name, mount_form}}], backups: [{vmid, phase,
 * at, archive, age_seconds, error}], restore_tests: [{vmid, passed, at, archive, error}]}.
 * ERROR_INVALID if it is longer than HUB_REPORT_LIMIT.
 */
int hub_report_render(struct store *store, const struct hub_report_frame *frame, struct buffer *out,
                      struct error *error);

#endif
