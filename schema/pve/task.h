/* SPDX-License-Identifier: Apache-2.0 */
/* Proxmox's tasks: their names, and what the log of a backup task says. */
#ifndef FELHOM_TASK_H
#define FELHOM_TASK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * UPID: what Proxmox calls a task. UPID:NODE:PID:PSTART:STARTTIME:TYPE:ID:USER: with hexadecimal
 * numbers (libpve-common-perl, PVE::UPID).
 */
#define UPID_SIZE 256 /* with its NUL; longer ones are refused */

struct upid {
    char node[64];
    int64_t started_at; /* seconds since 1970 */
    char type[32];      /* vzdump, vzsnapshot, vzrollback, qmsnapshot, qmrollback, ... */
    char id[64];        /* the VMID for a guest's tasks */
    char user[128];     /* USER@REALM or USER@REALM!TOKENID */
};

/* False, with *ret untouched, for anything that is no UPID. */
bool upid_parse(const char *text, struct upid *ret);

/*
 * How far a vzdump task is, by its log (pve-manager's PVE::VZDump, pve-container's and
 * qemu-server's plugins of it).
 *
 * "backup mode: MODE" says the mode that is really used, which may be another than was asked for:
 * "suspend" where a volume has no snapshots, "stop" where the guest does not run.
 *
 * A container: "create storage snapshot 'vzdump'" is written before the snapshot is begun, then
 * what lvcreate and its like say; with several volumes the container is frozen around that, and
 * "resume vm" and "guest is online again" follow. Those two are no proof: they are written as well
 * where the snapshot failed. "creating ... archive" is, as nothing but a good snapshot leads to it.
 *
 * A QEMU guest has no storage snapshot: "creating ... archive" comes first, and from "started
 * backup task" on (with a backup provider: "starting NBD server") QEMU itself keeps what the backup
 * has still to read; the guest's file systems are thawed by then.
 *
 * Zero-initialise, and give it the log from its first line.
 */
struct vzdump_log {
    bool is_snapshot_mode;
    bool began_snapshot;
    bool snapshotted;  /* the guest's services may start again */
    char problem[384]; /* why the backup failed, where the task's exit status is but "job errors";
                          "": it did not, so far */
};

/* Takes one more line of the log. */
void vzdump_log_take(struct vzdump_log *log, const char *line);

#endif
