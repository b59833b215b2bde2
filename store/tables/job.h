/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What guests have Proxmox do: snapshots, rollbacks, backups. A job is recorded before Proxmox is
 * asked and followed by its UPID, so that no crash can have it begun twice. A guest has one
 * unfinished job at a time.
 */
#ifndef FELHOM_STORE_JOB_H
#define FELHOM_STORE_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/pve/reply.h"
#include "schema/pve/task.h"
#include "store/db/store.h"

enum job_kind { JOB_SNAPSHOT, JOB_ROLLBACK, JOB_BACKUP };
enum job_phase { JOB_RUNNING, JOB_SNAPSHOTTED, JOB_DONE, JOB_FAILED };

/* "snapshot", ...; "running", ... */
const char *job_kind_name(enum job_kind kind);
const char *job_phase_name(enum job_phase phase);

struct job {
    int64_t job_id;
    uint32_t vmid;
    enum job_kind kind;
    enum job_phase phase;
    char upid[UPID_SIZE];          /* "" before Proxmox has named it */
    char name[SNAPSHOT_NAME_SIZE]; /* of the snapshot; "" for backups */
    char description[256];
    char error[384]; /* of a failed one; of a done one: Proxmox's warnings */
    int64_t created_at_ms;
    int64_t called_at_ms;   /* when Proxmox was about to be asked; 0: not yet */
    int64_t finished_at_ms; /* 0: not yet */
};

/*
 * Records a job (kind, vmid, name and description count) and its event. ERROR_CONFLICT where the
 * guest has an unfinished one, which is then in *ret_running; else *ret_job_id is the new one's.
 * Of each kind the guest's newest 100 finished ones are kept.
 */
int job_add(struct store *store, const struct job *job, int64_t now_ms, int64_t *ret_job_id,
            struct job *ret_running, struct error *error);

/* ERROR_CONFLICT unless the job is unfinished and was not called before: whoever gets 0 may ask
 * Proxmox, once. */
int job_call(struct store *store, int64_t job_id, int64_t now_ms, struct error *error);

/* For a call that certainly never reached Proxmox: it may be made again. */
int job_uncall(struct store *store, int64_t job_id, struct error *error);

/* ERROR_CONFLICT where the job is finished or has one, or where this one is another job's. */
int job_set_upid(struct store *store, int64_t job_id, const char *upid, struct error *error);

/* The task of the guest's last job before this one that had a task; ret_upid[0] is NUL where there
 * was none. */
int job_previous_upid(struct store *store, const struct job *job, char ret_upid[static UPID_SIZE],
                      struct error *error);

/* From running to snapshotted, with an event; nothing where it is beyond that. */
int job_snapshotted(struct store *store, int64_t job_id, int64_t now_ms, struct error *error);

/* Ends it, with an event: done where problem is NULL or (warnings) succeeded is true. Nothing where
 * it is finished already. */
int job_finish(struct store *store, int64_t job_id, bool succeeded, const char *problem,
               int64_t now_ms, struct error *error);

/* All unfinished ones, oldest first. */
int job_each_unfinished(struct store *store, int (*visit)(const struct job *job, void *context),
                        void *context, struct error *error);

/* The guest's newest job of this kind; job_id 0 where there is none. */
int job_newest(struct store *store, uint32_t vmid, enum job_kind kind, struct job *ret,
               struct error *error);

/* The guest's unfinished job of whatever kind; job_id 0 where there is none. */
int job_unfinished(struct store *store, uint32_t vmid, struct job *ret, struct error *error);

/* The newest backup of a guest that is known of, whoever made it. */
struct backup {
    char archive[512];  /* Proxmox's volume id; "" where there is none */
    int64_t size_bytes; /* -1: not known */
    int64_t at_ms;
};

/* Takes the place of what was known; one without an archive: there is none any more. */
int backup_put(struct store *store, uint32_t vmid, const struct backup *backup,
               struct error *error);
int backup_get(struct store *store, uint32_t vmid, struct backup *ret, struct error *error);

/* --- the last restore test of each guest --- */

/* The problem of a test that was broken off, by a signal or a dying machine. */
#define RESTORE_TEST_INTERRUPTED "it was interrupted"

struct restore_test {
    uint32_t vmid;       /* 0: there was none */
    uint32_t spare_vmid; /* what it was restored to; 0: that is certainly gone */
    char archive[512];
    bool passed;
    char error[384];
    int64_t started_at_ms;
    int64_t finished_at_ms; /* 0: it runs, or was killed and its spare guest may still be there */
};

/* Takes the place of the guest's last one. */
int restore_test_begin(struct store *store, const struct restore_test *test, struct error *error);

/* problem NULL: it passed. Adds an event. ERROR_MISSING where none was begun. */
int restore_test_finish(struct store *store, uint32_t vmid, const char *problem, int64_t now_ms,
                        struct error *error);

/* Notes that nothing is left of the spare guest. */
int restore_test_forget_spare(struct store *store, uint32_t vmid, struct error *error);

int restore_test_get(struct store *store, uint32_t vmid, struct restore_test *ret,
                     struct error *error);

/* In VMID order until visit returns non-zero; returns that, or -1 on failure. */
int restore_test_each(struct store *store,
                      int (*visit)(const struct restore_test *test, void *context), void *context,
                      struct error *error);

#endif
