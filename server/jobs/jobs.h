/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out the jobs that the store records: has Proxmox begin them, and follows each by its UPID
 * to its end. After a restart it goes on where it was; a job of which nobody knows whether Proxmox
 * has begun it is looked for among Proxmox's tasks, and never begun again. Between jobs it looks
 * for the guests' newest backups now and then.
 */
#ifndef FELHOM_JOBS_H
#define FELHOM_JOBS_H

struct agent;
struct jobs;

struct jobs *jobs_start(struct agent *agent);

/* NULL is fine. */
void jobs_stop(struct jobs *jobs);

/* A job was recorded. */
void jobs_wake(struct jobs *jobs);

#endif
