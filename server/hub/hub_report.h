/* SPDX-License-Identifier: Apache-2.0 */
/* What the host reports of itself to the hub. */
#ifndef FELHOM_HUB_REPORT_H
#define FELHOM_HUB_REPORT_H

#include <jansson.h>

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "store/tables/host.h"

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
