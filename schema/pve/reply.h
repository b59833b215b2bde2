/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses replies of Proxmox's HTTP API: {"data": ...} on success, {"errors": {...}, "message":
 * "..."} on failure. First call pve_reply_check, which turns a failure into an error with Proxmox's
 * own words; then the function for the request that was made. A reply whose data is not as Proxmox
 * documents it fails with ERROR_CORRUPT. Nothing here makes a request.
 *
 * Also what replies contain: names of snapshots, UPIDs, by which Proxmox names tasks, and the log
 * of a backup task, which tells when the guest's applications may be started again. And API tokens,
 * which requests carry.
 */
#ifndef FELHOM_PVE_REPLY_H
#define FELHOM_PVE_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/error.h"

/* --- names of snapshots --- */

#define SNAPSHOT_NAME_SIZE 41

/*
 * Checks a name by Proxmox's rule (pve-snapshot-name): 2 to 40 characters, beginning with a letter,
 * then letters, digits, _ and -; not "current", "pending" or "vzdump" in any case, which Proxmox
 * reserves. ERROR_INVALID with the rule that the name breaks.
 */
int snapshot_name_check(const char *name, struct error *error);

/* --- UPIDs --- */

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

/* --- API tokens --- */

#define API_TOKEN_USER_SIZE 128 /* of USER@REALM!TOKENID, including the NUL */

/* Returns the length of USER@REALM!TOKENID if the text is USER@REALM!TOKENID=UUID and nothing else;
 * otherwise 0. */
size_t api_token_user_length(const char *text);

/* --- replies --- */

/* A reply as received; all borrowed. */
struct pve_reply {
    int status;         /* HTTP */
    const char *reason; /* from the status line, where Proxmox puts the error message */
    const char *body;
    size_t length;
};

/*
 * Returns 0 if the status is 2xx. Otherwise fails with Proxmox's message, such as "Proxmox: 403
 * Permission check failed (/vms/8200, VM.Backup)" or "Proxmox: 400 Parameter verification failed:
 * upid: no such task". Kinds: 400 is ERROR_INVALID (with the message for each parameter), 401 and
 * 403 ERROR_DENIED, 404 ERROR_MISSING, 502, 503, 504, 595, 596 and 599, which are likely to pass,
 * ERROR_BUSY, all others ERROR_CONFLICT.
 */
int pve_reply_check(const struct pve_reply *reply, struct error *error);

/* --- the data of replies that passed pve_reply_check --- */

/* Reads the UPID of the task that a request has started. ERROR_MISSING if none was started: vzdump
 * replies "OK" and does nothing if the guest is on another node. */
int pve_reply_upid(const struct pve_reply *reply, char ret[static UPID_SIZE], struct error *error);

/* GET /nodes/NODE/tasks/UPID/status */
struct pve_task_status {
    bool running;
    bool succeeded;       /* exitstatus is "OK" or "WARNINGS: N" */
    char exitstatus[384]; /* "" while the task is running */
};
int pve_reply_task_status(const struct pve_reply *reply, struct pve_task_status *ret,
                          struct error *error);

/* Reads GET /nodes/NODE/{lxc,qemu}/VMID/status/current: whether the guest is running. */
int pve_reply_guest_runs(const struct pve_reply *reply, bool *ret, struct error *error);

/* Reads GET /nodes/NODE/tasks/UPID/log: calls visit for each line with its number, from 1. An empty
 * log, which Proxmox returns as the single line "no content", has no lines. */
int pve_reply_task_log(const struct pve_reply *reply,
                       void (*visit)(int64_t number, const char *line, void *context),
                       void *context, struct error *error);

/* Reads GET /nodes/NODE/tasks: finds the oldest task of this type for this VMID by this user that
 * started at since (seconds since 1970) or later. ret[0] is NUL if there is none. */
int pve_reply_find_task(const struct pve_reply *reply, const char *type, uint32_t vmid,
                        const char *user, int64_t since, char ret[static UPID_SIZE],
                        struct error *error);

/*
 * Reads GET /nodes/NODE/{lxc,qemu}/VMID/snapshot. Leaves out what a guest cannot be rolled back to:
 * "current", the "vzdump" of a running backup, and snapshots that are still being created or
 * deleted. The caller frees *ret with pve_snapshots_free.
 */
struct pve_snapshot {
    char name[SNAPSHOT_NAME_SIZE];
    char parent[SNAPSHOT_NAME_SIZE]; /* "" if none */
    char *description;               /* as it was given, without the newline that Proxmox adds */
    int64_t at;                      /* seconds since 1970; 0: not known */
};
struct pve_snapshots {
    struct pve_snapshot *items; /* oldest first */
    size_t count;
};
int pve_reply_snapshots(const struct pve_reply *reply, struct pve_snapshots *ret,
                        struct error *error);
void pve_snapshots_free(struct pve_snapshots *snapshots);

/* Reads GET /nodes/NODE/storage/STORAGE/content?content=backup: finds the newest backup of this
 * VMID. archive[0] is NUL if there is none. */
struct pve_backup {
    char archive[512];  /* volume id */
    int64_t size_bytes; /* may be approximate; -1: not known */
    int64_t at;         /* seconds since 1970 */
};
int pve_reply_newest_backup(const struct pve_reply *reply, uint32_t vmid, struct pve_backup *ret,
                            struct error *error);

/* --- the log of a backup task --- */

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
