/* SPDX-License-Identifier: Apache-2.0 */
/* Replies of Proxmox's API: {"data": ...}, and on failure {"errors": {...}, "message": "..."}. */
#ifndef FELHOM_PVE_REPLY_H
#define FELHOM_PVE_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/error.h"
#include "schema/pve/task.h"

/* Names of snapshots. */

#define SNAPSHOT_NAME_SIZE 41

/*
 * Proxmox's rule (pve-snapshot-name): 2 to 40 characters, a letter, then letters, digits, _ and -;
 * "current", "pending" and "vzdump", in whatever case, are its own. ERROR_INVALID with the rule
 * that is broken.
 */
int snapshot_name_check(const char *name, struct error *error);

/* What came back over the wire; borrowed. */
struct pve_reply {
    int status;         /* HTTP */
    const char *reason; /* of the status line, where Proxmox says what was wrong */
    const char *body;
    size_t length;
};

/*
 * 0 where the status is 2xx. Else -1 with what Proxmox said, e.g. "Proxmox: 403 Permission check
 * failed (/vms/8200, VM.Backup)" or "Proxmox: 400 Parameter verification failed: upid: no such
 * task"; kinds: 401 and 403 ERROR_DENIED, 400 ERROR_INVALID (with each parameter's error), 404
 * ERROR_MISSING, 5xx ERROR_BUSY where passing by itself is likely (595, 596, 599, 502, 503, 504),
 * else ERROR_CONFLICT.
 */
int pve_reply_check(const struct pve_reply *reply, struct error *error);

/* Each reads the data of a reply that passed the check; what is not as documented fails with
 * ERROR_CORRUPT. */

/* The UPID of the task that was begun. ERROR_MISSING where none was: vzdump says "OK" and does
 * nothing where the guest is on another node. */
int pve_reply_upid(const struct pve_reply *reply, char ret[static UPID_SIZE], struct error *error);

/* GET /nodes/NODE/tasks/UPID/status */
struct pve_task_status {
    bool running;
    bool succeeded;       /* exitstatus is OK, or WARNINGS: N */
    char exitstatus[384]; /* "" while it runs */
};
int pve_reply_task_status(const struct pve_reply *reply, struct pve_task_status *ret,
                          struct error *error);

/* GET /nodes/NODE/tasks/UPID/log: calls visit for each line with its number, from 1; for none while
 * the log is empty, which Proxmox shows as one line "no content". */
int pve_reply_task_log(const struct pve_reply *reply,
                       void (*visit)(int64_t number, const char *line, void *context),
                       void *context, struct error *error);

/* GET /nodes/NODE/tasks: the oldest task of this type for this VMID by this user that began at
 * since (seconds) or later; ret[0] is NUL where there is none. */
int pve_reply_find_task(const struct pve_reply *reply, const char *type, uint32_t vmid,
                        const char *user, int64_t since, char ret[static UPID_SIZE],
                        struct error *error);

/* GET /nodes/NODE/{lxc,qemu}/VMID/snapshot. Left out is what no guest could go back to: "current",
 * the "vzdump" of a backup under way, and what is still being made or removed. */
struct pve_snapshot {
    char name[SNAPSHOT_NAME_SIZE];
    char parent[SNAPSHOT_NAME_SIZE]; /* "" where there is none */
    char *description;
    int64_t at; /* seconds since 1970; 0: not known */
};
struct pve_snapshots {
    struct pve_snapshot *items; /* oldest first */
    size_t count;
};
int pve_reply_snapshots(const struct pve_reply *reply, struct pve_snapshots *ret,
                        struct error *error);
void pve_snapshots_free(struct pve_snapshots *snapshots);

/* GET /nodes/NODE/storage/STORAGE/content?content=backup: the newest of this VMID; archive[0] is
 * NUL where there is none. */
struct pve_backup {
    char archive[512];  /* volume id */
    int64_t size_bytes; /* -1: not known */
    int64_t at;         /* seconds since 1970 */
};
int pve_reply_newest_backup(const struct pve_reply *reply, uint32_t vmid, struct pve_backup *ret,
                            struct error *error);

#endif
