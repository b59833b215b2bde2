/* SPDX-License-Identifier: Apache-2.0 */
/* The figures of the host itself (load, memory, temperature, storages), read from /proc, /sys
 * and the file that Proxmox's pvestatd writes below /etc/pve. Any thread may call these functions.
 */
#ifndef FELHOM_HOST_FIGURES_H
#define FELHOM_HOST_FIGURES_H

#include <jansson.h>

#include "schema/agent/config.h"

struct host_figures;

/* Takes a first sample of the processor times, to which a later sample is compared. root is put
 * in front of /proc and /sys: "" except in tests. Ends with host_figures_free. */
struct host_figures *host_figures_new(const char *root);
void host_figures_free(struct host_figures *figures);

/* Takes a sample of the processor times. felhomd calls it every ten seconds, so that cpu_percent
 * is always about the last seconds. */
void host_figures_sample(struct host_figures *figures);

/*
 * Returns a new reference to {cpu_percent, cpu_count, load: [1, 5, 15 minutes], memory:
 * {total_bytes, used_bytes, available_bytes}, swap: {total_bytes, used_bytes}, uptime_seconds,
 * cpu_temp_c, storages: [{storage, total_bytes, used_bytes, at}]}. A figure that is not known is
 * null.
 *
 * cpu_percent is the average since an earlier sample, at least a second old. storages are those
 * that Proxmox reports for this node; while /etc/pve hangs, the ones that it reported last. The
 * call waits at most half a second for another thread that reads /etc/pve, but for as long as its
 * own read of /etc/pve takes.
 */
json_t *host_figures_describe(struct host_figures *figures, const struct config *config,
                              const char *node);

#endif
