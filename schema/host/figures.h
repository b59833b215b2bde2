/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsers for the host's own figures: load, memory and processors from /proc/stat, /proc/loadavg,
 * /proc/meminfo and /proc/uptime (see proc(5)), and the fill of storages from /etc/pve/.rrd, which
 * pmxcfs provides. The callers read the files. A figure that is not known is -1.
 */
#ifndef FELHOM_FIGURES_H
#define FELHOM_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPU_TICKS 8 /* user, nice, system, idle, iowait, irq, softirq, steal */

/* Processor time of all processors together since the host booted, in clock ticks, and the number
 * of processors. */
struct cpu_times {
    uint64_t ticks[CPU_TICKS];
    int count;
};

/* Parses /proc/stat. Returns false and leaves *ret untouched if the text is not in that format. */
bool cpu_times_parse(const char *text, struct cpu_times *ret);

/* Returns how busy the processors were between two readings, in thousandths; -1 if no time
 * passed. */
int cpu_times_busy(const struct cpu_times *from, const struct cpu_times *to);

/* Parses /proc/loadavg: the load averages over 1, 5 and 15 minutes. Returns false and leaves ret
 * untouched if the text is not in that format. */
bool loadavg_parse(const char *text, double ret[static 3]);

/* All in bytes; -1: not known. */
struct memory_figures {
    int64_t total;
    int64_t available;
    int64_t swap_total;
    int64_t swap_free;
};

/* Parses /proc/meminfo. */
struct memory_figures meminfo_parse(const char *text);

/* Parses /proc/uptime. Returns whole seconds; -1 if the text is not in that format. */
int64_t uptime_parse(const char *text);

/*
 * /etc/pve/.rrd: the latest figures that pvestatd has broadcast from each node, one line each
 * (pmxcfs, cfs_rrd_dump; the text ends with a NUL). Lines for storages are
 * pve-storage-9.0/NODE/STORAGE:TIME:TOTAL:USED in Proxmox VE 9 and
 * pve2-storage/NODE/STORAGE:TIME:TOTAL:USED in Proxmox VE 8.
 */
struct rrd_storage {
    char *storage;
    int64_t at;          /* seconds since 1970 */
    int64_t total_bytes; /* -1: not known */
    int64_t used_bytes;  /* -1: not known */
};

/* Zero-initialise. */
struct rrd_storages {
    struct rrd_storage *items; /* sorted by name; each storage once, with its newest figures */
    size_t count;
};

/* Finds the storages of one node and skips all other lines. The caller frees *ret with
 * rrd_storages_free. */
void rrd_dump_storages(const char *text, size_t length, const char *node, struct rrd_storages *ret);

void rrd_storages_free(struct rrd_storages *storages);

#endif
