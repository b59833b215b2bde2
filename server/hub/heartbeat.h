/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports the host to the hub with its key, from hub.api_key_file: at the start and every hub.poll,
 * or as often as the hub itself says. Without such a file there is no report.
 */
#ifndef FELHOM_HUB_HEARTBEAT_H
#define FELHOM_HUB_HEARTBEAT_H

#include <jansson.h>

#include "schema/agent/config.h"
#include "schema/agent/hub_reply.h"
#include "schema/base/buffer.h"
#include "server/base/host_figures.h"
#include "server/base/store_pool.h"
#include "server/outbound/http_client.h"
#include "store/tables/host.h"

struct hub_heartbeat {
    struct store_pool *stores;
    struct http_client *client;
    struct metrics *metrics;
    const atomic_bool *stopping;
    bool is_told; /* what the hub answered last is in the log */
    struct hub_reply answered;
    uint32_t poll_seconds;                               /* as the hub said last; 0: never */
    uint32_t failures;                                   /* since the last success */
    char problem[sizeof((struct error *)NULL)->message]; /* of the last failure */
    int64_t next_at_us;                                  /* by clock_steady_us */
};

/* Reports if it is time. fresh: the settings are others, or the daemon has just started: it is.
 * Returns when to call again, by clock_steady_us; INT64_MAX: not under these settings. */
int64_t hub_heartbeat_turn(struct hub_heartbeat *heartbeat, const struct config *config,
                           bool fresh);

/* What the host reports of itself to the hub. */

#define HUB_REPORT_LIMIT ((size_t)4 << 20) /* more the hub does not take */

struct hub_report_frame {
    const struct config *config;
    const struct host *host;
    json_t *metrics; /* as metrics_describe tells them; changed */
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
