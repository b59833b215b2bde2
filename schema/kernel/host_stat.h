/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of the whole machine: the texts of /proc/stat, loadavg, meminfo and uptime
 * (proc(5)). What is not known is -1. */
#ifndef FELHOM_HOST_STAT_H
#define FELHOM_HOST_STAT_H

#include <stdbool.h>
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
bool load_parse(const char *text, double ret[static 3]);

/* In bytes. */
struct memory_figures {
    int64_t total;
    int64_t available;
    int64_t swap_total;
    int64_t swap_free;
};

/* /proc/meminfo */
struct memory_figures memory_parse(const char *text);

/* /proc/uptime, in whole seconds. */
int64_t uptime_parse(const char *text);

#endif
