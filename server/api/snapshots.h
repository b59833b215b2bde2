/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FELHOM_SNAPSHOTS_H
#define FELHOM_SNAPSHOTS_H

#include <stdbool.h>

#include "store/tables/job.h"

/* Requests that become jobs. */

struct context;
struct request;
struct reply;

/* Whether Proxmox can be asked for anything at all; the reply says why not: 503. */
bool enqueue_possible(struct context *context, const struct request *request, struct reply *reply);

/*
 * Records the job (kind, name and description count) for the request's guest and wakes those who
 * carry it out: 202 {vmid, job_id, phase}; 409 where the guest has an unfinished one.
 */
void enqueue(struct context *context, const struct request *request, const struct job *job,
             struct reply *reply);

#endif
