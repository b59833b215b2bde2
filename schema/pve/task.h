/* SPDX-License-Identifier: Apache-2.0 */
/* Proxmox's tasks: the parser of UPIDs, by which Proxmox names tasks, and a parser of the log of a
 * backup task, which tells when the guest's applications may be started again. */
#ifndef FELHOM_TASK_H
#define FELHOM_TASK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A UPID is UPID:NODE:PID:PSTART:STARTTIME:TYPE:ID:USER: with hexadecimal numbers
 * (libpve-common-perl, PVE::UPID).
 */
#define UPID_SIZE 256 /* including the NUL; longer texts are refused */

struct upid {
    char node[64];
    int64_t started_at; /* seconds since 1970 */
    char type[32];      /* vzdump, vzsnapshot, vzrollback, qmsnapshot, qmrollback, ... */
    char id[64];        /* the VMID for tasks of guests */
    char user[128];     /* USER@REALM or USER@REALM!TOKENID */
};

/* Parses a UPID. Returns false for any other text and leaves *ret untouched. */
bool upid_parse(const char *text, struct upid *ret);

/*
 * Follows a vzdump task by its log, as written by pve-manager's PVE::VZDump and by the plugins of
 * pve-container and qemu-server. Zero-initialise it and pass it the log from the first line.
 *
 * "backup mode: MODE" is the mode that vzdump really uses. It may differ from the requested one:
 * "suspend" if a volume does not support snapshots, "stop" if the guest is not running.
 *
 * Containers: vzdump writes "create storage snapshot 'vzdump'" before it takes the snapshot, then
 * the output of lvcreate or a similar program. With several volumes it freezes the container
 * meanwhile, and "resume vm" and "guest is online again" follow. Those two lines prove nothing,
 * because they also follow a failed snapshot. "creating ... archive" proves that the snapshot
 * succeeded, as it comes only after that.
 *
 * QEMU guests have no storage snapshot: "creating ... archive" comes first. After "started backup
 * task" (with a backup provider: "starting NBD server") QEMU itself preserves the data that the
 * backup has not read yet, and the guest's file systems are thawed by then.
 */
struct vzdump_log {
    bool is_snapshot_mode;
    bool began_snapshot;
    bool snapshotted;  /* the applications in the guest may be started again */
    char problem[384]; /* why the backup failed; "": no failure so far */
};

/* Processes the next line of the log. */
void vzdump_log_take(struct vzdump_log *log, const char *line);

#endif
