/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures of a whole host, as texts that its kernel and pmxcfs write: /proc/stat, loadavg, meminfo
 * and uptime (proc(5)), and /etc/pve/.rrd. What is not known is -1.
 */
#ifndef FELHOM_FIGURES_H
#define FELHOM_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPU_TICKS 8 /* user, nice, system, idle, iowait, irq, softirq, steal */

/* What all processors together have spent since the start, in ticks, and how many they are. */
struct cpu_times {
    uint64_t ticks[CPU_TICKS];
    int count;
};

/* /proc/stat. False, with *ret untouched, for what is none. */
bool cpu_times_parse(const char *text, struct cpu_times *ret);

/* How busy the processors were in between, in thousandths; -1 where no time has passed. */
int cpu_times_busy(const struct cpu_times *from, const struct cpu_times *to);

/* /proc/loadavg: of the last 1, 5 and 15 minutes. False, with ret untouched, for what is none. */
bool loadavg_parse(const char *text, double ret[static 3]);

/* In bytes. */
struct memory_figures {
    int64_t total;
    int64_t available;
    int64_t swap_total;
    int64_t swap_free;
};

/* /proc/meminfo */
struct memory_figures meminfo_parse(const char *text);

/* /proc/uptime, in whole seconds. */
int64_t uptime_parse(const char *text);

/*
 * /etc/pve/.rrd: the last figures that every node's pvestatd has broadcast, one line each (pmxcfs,
 * cfs_rrd_dump; a NUL ends it). Storages are pve-storage-9.0/NODE/STORAGE:TIME:TOTAL:USED under
 * Proxmox VE 9 and pve2-storage/NODE/STORAGE:TIME:TOTAL:USED under 8.
 */
struct rrd_storage {
    char *storage;
    int64_t at;          /* seconds since 1970 */
    int64_t total_bytes; /* -1: not known */
    int64_t used_bytes;  /* -1: not known */
};

/* Zero-initialise. */
struct rrd_storages {
    struct rrd_storage *items; /* by name; of each the newest line */
    size_t count;
};

/* Finds the storages of one node; what is no line of one is passed over. The caller frees *ret with
 * rrd_storages_free. */
void rrd_dump_storages(const char *text, size_t length, const char *node, struct rrd_storages *ret);

void rrd_storages_free(struct rrd_storages *storages);

#endif
