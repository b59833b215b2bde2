/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /etc/pve/.rrd: the last figures that every node's pvestatd has broadcast, one line each (pmxcfs,
 * cfs_rrd_dump; a NUL ends it). Storages are pve-storage-9.0/NODE/STORAGE:TIME:TOTAL:USED under
 * Proxmox VE 9 and pve2-storage/NODE/STORAGE:TIME:TOTAL:USED under 8.
 */
#ifndef FELHOM_RRD_DUMP_H
#define FELHOM_RRD_DUMP_H

#include <stddef.h>
#include <stdint.h>

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
