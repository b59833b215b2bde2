/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out the jobs that the store records: has Proxmox begin them, and follows each by its UPID
 * to its end. After a restart it goes on where it was; a job of which nobody knows whether Proxmox
 * has begun it is looked for among Proxmox's tasks, and never begun again. Between jobs it looks
 * for the guests' newest backups now and then.
 */
#ifndef FELHOM_JOBS_H
#define FELHOM_JOBS_H

#include <stdatomic.h>
#include <stdint.h>

#include "server/base/limiter.h"
#include "server/base/store_pool.h"
#include "server/jobs/pve_client.h"

struct agent;
struct jobs;

struct jobs *jobs_start(struct agent *agent);

/* NULL is fine. */
void jobs_stop(struct jobs *jobs);

/* A job was recorded. */
void jobs_wake(struct jobs *jobs);

/* Keeps the store informed of each guest's newest backup, whoever made it. */

/* Asks Proxmox for this guest's, and records it. */
int newest_backup_look(struct store_pool *stores, const struct pve_call *call, uint32_t vmid,
                       struct error *error);

/* The look at all guests' now and then, guest by guest. Zero-initialise, but for the first two. */
struct newest_backups {
    struct throttled_log log;
    const atomic_bool *stopping; /* borrowed; failures that come of it are not told */
    char *storage;               /* where the last look was begun; NULL: there was none yet */
    int64_t at_us;               /* when to go on, by clock_steady_us */
    uint32_t vmid;     /* the last one that was looked at in the look under way; 0: there is none */
    uint32_t failures; /* of Proxmox to answer, in a row */
};
void newest_backups_clear(struct newest_backups *backups);

/* Looks for at most one guest's, if it is time. Returns when it wants the next turn, by
 * clock_steady_us. Without an API token nothing happens. call: its deadline counts for this one. */
int64_t newest_backups_turn(struct newest_backups *backups, struct store_pool *stores,
                            const struct pve_call *call);

#endif
