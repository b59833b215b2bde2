/* SPDX-License-Identifier: Apache-2.0 */
/* The host's own figures, from /proc, /sys and what Proxmox's pvestatd has written. Safe to use
 * from many threads. */
#ifndef FELHOM_METRICS_H
#define FELHOM_METRICS_H

#include <jansson.h>

#include "schema/agent/config.h"

struct metrics;

/* Takes a first sample, so that the processor's load can be told from the next on. root stands in
 * front of /proc and /sys: "" but in tests. Ends with metrics_free. */
struct metrics *metrics_new(const char *root);
void metrics_free(struct metrics *metrics);

/* Now and then, so that the load told is that of the last seconds. */
void metrics_sample(struct metrics *metrics);

/*
 * {cpu_percent, cpu_count, load: [1, 5, 15 minutes], memory: {total_bytes, used_bytes,
 * available_bytes}, swap: {total_bytes, used_bytes}, uptime_seconds, cpu_temp_c, storages:
 * [{storage, total_bytes, used_bytes, at}]}: what is not known is null. The load is that since a
 * sample a second or more ago. Storages are those that Proxmox has told of this node; should
 * /etc/pve hang, those that it told last. A new reference.
 */
json_t *metrics_describe(struct metrics *metrics, const struct config *config, const char *node);

#endif
