/* SPDX-License-Identifier: Apache-2.0 */
/* The host's own figures, from /proc, /sys and what Proxmox's pvestatd has written. Safe to use
 * from many threads. */
#ifndef FELHOM_HOST_FIGURES_H
#define FELHOM_HOST_FIGURES_H

#include <jansson.h>

#include "schema/agent/config.h"

struct host_figures;

/* Takes a first sample, so that the next one can tell the processor's load. root is put in front of
 * /proc and /sys: "" but in tests. Ends with host_figures_free. */
struct host_figures *host_figures_new(const char *root);
void host_figures_free(struct host_figures *figures);

/* To be called now and then, so that the load is that of the last seconds. */
void host_figures_sample(struct host_figures *figures);

/*
 * {cpu_percent, cpu_count, load: [1, 5, 15 minutes], memory: {total_bytes, used_bytes,
 * available_bytes}, swap: {total_bytes, used_bytes}, uptime_seconds, cpu_temp_c, storages:
 * [{storage, total_bytes, used_bytes, at}]}: what is not known is null. The load is since a sample
 * a second or more ago. Storages are those that Proxmox reports for this node; while /etc/pve
 * hangs, those that it reported last. A new reference.
 */
json_t *host_figures_describe(struct host_figures *figures, const struct config *config,
                              const char *node);

#endif
