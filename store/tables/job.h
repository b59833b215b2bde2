/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What guests ask Proxmox to do: snapshots, rollbacks and backups, the newest backup of each guest,
 * and restore tests. A job is recorded before Proxmox is called and is then followed by its UPID,
 * so that a crash cannot start it twice. Each guest has at most one unfinished job. server/jobs/
 * drives the jobs.
 */
#ifndef FELHOM_STORE_JOB_H
#define FELHOM_STORE_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/pve/reply.h"
#include "store/db/store.h"

enum job_kind { JOB_SNAPSHOT, JOB_ROLLBACK, JOB_BACKUP };
enum job_phase { JOB_RUNNING, JOB_SNAPSHOTTED, JOB_DONE, JOB_FAILED };

/* The names of the kinds ("snapshot" and so on) and of the phases ("running" and so on), ended by
 * NULL. */
extern const char *const job_kind_names[];
extern const char *const job_phase_names[];

struct job {
    int64_t job_id;
    uint32_t vmid;
    enum job_kind kind;
    enum job_phase phase;
    char upid[UPID_SIZE];          /* "" until Proxmox has started the task */
    char name[SNAPSHOT_NAME_SIZE]; /* of the snapshot; "" for a backup */
    char description[256];
    char error[384]; /* why the job failed; of a job that is done, Proxmox's warnings */
    int64_t created_at_ms;
    int64_t called_at_ms;   /* when Proxmox was about to be called; 0: not yet */
    int64_t finished_at_ms; /* 0: not yet */
    bool due;               /* a backup that was due when the guest asked for it */
};

/* What a job must keep to. */
struct job_limit {
    /* From one job of the kind to the next, whatever became of the first; 0: no limit. A backup
     * that is due is exempt from it once: if none that was due was asked for since backup_at_ms. */
    int64_t interval_ms;
    int64_t backup_at_ms; /* when the newest backup was made; 0: there is none */
    int64_t seen; /* the newest job of the kind that the caller knew of as it decided; -1: any */
};

/* Why a job is not recorded now; one of them is set. */
struct job_obstacle {
    struct job running; /* the guest's unfinished job */
    int64_t wait_ms;    /* until job_limit.interval_ms is over */
    bool outdated;      /* there is a newer job than job_limit.seen */
};

/* Checks whether job_add would record the job. ERROR_CONFLICT, with *ret_obstacle, if not. */
int job_check(struct store *store, const struct job *job, const struct job_limit *limit,
              int64_t now_ms, struct job_obstacle *ret_obstacle, struct error *error);

/*
 * Records a job with kind, vmid, name, description and due of *job, and adds an event. *ret_job_id
 * becomes the new job's id. If the guest has an unfinished job or the limit (NULL: none) forbids
 * it, fails with ERROR_CONFLICT and fills in *ret_obstacle. Of each kind, the guest's newest 100
 * finished jobs are kept.
 */
int job_add(struct store *store, const struct job *job, const struct job_limit *limit,
            int64_t now_ms, int64_t *ret_job_id, struct job_obstacle *ret_obstacle,
            struct error *error);

/* Records that Proxmox is about to be called. The caller may call Proxmox once if this returns 0.
 * ERROR_CONFLICT if the job is finished or Proxmox has been called before. */
int job_call(struct store *store, int64_t job_id, int64_t now_ms, struct error *error);

/* Takes job_call back after a call that certainly did not reach Proxmox, so that it can be
 * repeated. */
int job_uncall(struct store *store, int64_t job_id, struct error *error);

/* Records the task that Proxmox has started. ERROR_CONFLICT if the job is finished or has a task
 * already, or if the task belongs to another job. */
int job_set_upid(struct store *store, int64_t job_id, const char *upid, struct error *error);

/* Returns the task of the guest's newest earlier job that had one; ret_upid[0] is NUL if there is
 * none. */
int job_previous_upid(struct store *store, const struct job *job, char ret_upid[static UPID_SIZE],
                      struct error *error);

/* Changes the phase from running to snapshotted and adds an event. Does nothing if the job is in a
 * later phase. */
int job_snapshotted(struct store *store, int64_t job_id, int64_t now_ms, struct error *error);

/*
 * Finishes the job and adds an event. The job is done if problem is NULL or succeeded is true
 * (problem then has Proxmox's warnings); otherwise it has failed. Does nothing if it is finished
 * already.
 */
int job_finish(struct store *store, int64_t job_id, bool succeeded, const char *problem,
               int64_t now_ms, struct error *error);

/* Visits all unfinished jobs, oldest first, until visit returns non-zero; returns that value, or -1
 * on failure. */
int job_each_unfinished(struct store *store, int (*visit)(const struct job *job, void *context),
                        void *context, struct error *error);

/* Finds the guest's newest job of this kind; ret->job_id is 0 if there is none. */
int job_newest(struct store *store, uint32_t vmid, enum job_kind kind, struct job *ret,
               struct error *error);

/* Finds the guest's unfinished job; ret->job_id is 0 if there is none. */
int job_unfinished(struct store *store, uint32_t vmid, struct job *ret, struct error *error);

/* Changes whenever a job of the guest is recorded or finishes. */
struct job_mark {
    int64_t newest; /* job_id; 0: none */
    int64_t unfinished;
};
int job_mark(struct store *store, uint32_t vmid, struct job_mark *ret, struct error *error);

/* The newest known backup of a guest, whoever made it. */
struct backup {
    char archive[512];  /* Proxmox's volume id; "" if there is no backup */
    int64_t size_bytes; /* -1: not known */
    int64_t at_ms;
};

/* backup_put replaces the recorded backup; an empty archive means that there is none any more.
 * backup_get reads it. */
int backup_put(struct store *store, uint32_t vmid, const struct backup *backup,
               struct error *error);
int backup_get(struct store *store, uint32_t vmid, struct backup *ret, struct error *error);

/* --- the last restore test of each guest --- */

/* Recorded as the problem of a test that was interrupted by a signal or a crash of the host. */
#define RESTORE_TEST_INTERRUPTED "it was interrupted"

struct restore_test {
    uint32_t vmid;       /* 0: no test */
    uint32_t spare_vmid; /* the guest that it was restored to; 0: that guest is certainly gone */
    char archive[512];
    bool passed;
    char error[384];
    int64_t started_at_ms;
    int64_t finished_at_ms; /* 0: running, or killed, and the spare guest may still exist */
};

/* Records the start of a test in place of the guest's last one. */
int restore_test_begin(struct store *store, const struct restore_test *test, struct error *error);

/* Records the result and adds an event. problem NULL: passed. ERROR_MISSING if no test has
 * begun. */
int restore_test_finish(struct store *store, uint32_t vmid, const char *problem, int64_t now_ms,
                        struct error *error);

/* Records that the spare guest is gone. ERROR_MISSING if there is no test. */
int restore_test_forget_spare(struct store *store, uint32_t vmid, struct error *error);

/* Reads the guest's last test; ret->vmid is 0 if there is none. */
int restore_test_get(struct store *store, uint32_t vmid, struct restore_test *ret,
                     struct error *error);

/* Visits the tests in order of VMID until visit returns non-zero; returns that value, or -1 on
 * failure. */
int restore_test_each(struct store *store,
                      int (*visit)(const struct restore_test *test, void *context), void *context,
                      struct error *error);

#endif
