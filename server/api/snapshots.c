/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api/snapshots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "schema/json/json.h"
#include "server/api/handlers.h"
#include "server/base/context.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/jobs/jobs.h"
#include "server/jobs/pve_client.h"
#include "store/base/clock.h"
#include "store/base/nudge.h"
#include "store/host/host.h"
#include "store/tables/guest.h"

bool enqueue_possible(struct context *context, const struct request *request, struct reply *reply)
{
    struct error error;
    char user[PVE_USER_SIZE];
    if (pve_token_check(request->config, user, &error) == 0)
        return true;
    reply_upstream_failure(reply, context, &error);
    return false;
}

/* *ret_running: where there is one, so that this one is refused. */
static int add(struct context *context, const struct job *job, int64_t *ret_job_id,
               struct job *ret_running, struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(context->stores, &loan, error) == 0 &&
        job_add(loan.store, job, clock_wall_ms(), ret_job_id, ret_running, error) == 0)
        return 0;
    if (ret_running->job_id == 0)
        store_loan_failed(&loan, error);
    return -1;
}

void enqueue(struct context *context, const struct request *request, const struct job *job,
             struct reply *reply)
{
    struct error error;
    struct job running = {0};
    struct job added = *job;
    added.vmid = request->vmid;
    if (add(context, &added, &added.job_id, &running, &error) == 0) {
        jobs_wake(context->jobs);
        nudge_send(request->config->paths.state);
        reply_data(reply, 202,
                   json_pack("{s:I, s:I, s:s}", "vmid", (json_int_t)added.vmid, "job_id",
                             (json_int_t)added.job_id, "phase", job_phase_name(JOB_RUNNING)));
        return;
    }
    if (running.job_id)
        reply_error(reply, 409, error.message);
    else
        reply_internal_failure(reply, context, NULL, &error);
}

/* --- Proxmox's list --- */

static int read_store(struct context *context, uint32_t vmid, struct guest *ret_guest,
                      struct host *ret_host, struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(context->stores, &loan, error) == 0 &&
        guest_find(loan.store, vmid, ret_guest, error) == 0 &&
        host_get(loan.store, ret_host, error) == 0)
        return 0;
    store_loan_failed(&loan, error);
    return -1;
}

static int list(struct context *context, const struct request *request, const struct guest *guest,
                const struct host *host, struct pve_snapshots *ret, struct error *error)
{
    const struct pve_guest whose = {guest->kind, guest->vmid};
    const struct pve_call call = {
        .client = context->pve_client,
        .config = request->config,
        .node = host->node,
        .deadline_us = request_deadline_us(request),
    };
    if (bounded_lock_acquire(&context->pve_lock, call.deadline_us, error) < 0)
        return -1;
    int result = pve_snapshots(&call, &whose, ret, error);
    bounded_lock_release(&context->pve_lock);
    return result;
}

/* False where there is no list; the reply then says why. */
static bool fetch(struct context *context, const struct request *request, struct pve_snapshots *ret,
                  struct reply *reply)
{
    struct error error;
    struct guest guest;
    struct host host;
    if (read_store(context, request->vmid, &guest, &host, &error) < 0)
        reply_internal_failure(reply, context, NULL, &error);
    else if (list(context, request, &guest, &host, ret, &error) < 0)
        reply_upstream_failure(reply, context, &error);
    else
        return true;
    return false;
}

static json_t *describe(const struct pve_snapshot *snapshot)
{
    return json_pack("{s:o, s:o, s:o, s:o}",            /**/
                     "name", json_text(snapshot->name), /**/
                     "description", json_text(snapshot->description ? snapshot->description : ""),
                     "at", json_time(snapshot->at * 1000), /**/
                     "parent", snapshot->parent[0] ? json_text(snapshot->parent) : json_null());
}

void snapshots_get(struct context *context, const struct request *request, struct reply *reply)
{
    cleanup(pve_snapshots_free) struct pve_snapshots snapshots = {0};
    if (!fetch(context, request, &snapshots, reply))
        return;
    json_t *described = json_array();
    for (size_t i = 0; i < snapshots.count; i++)
        json_append(described, describe(&snapshots.items[i]));
    reply_data(reply, 200,
               json_pack("{s:I, s:o}", "vmid", (json_int_t)request->vmid, "snapshots", described));
}

/* --- taking one, going back to one --- */

enum { NAME, DESCRIPTION, VALUE_COUNT };

struct wish {
    char *values[VALUE_COUNT];
};

static void wish_free(struct wish *wish)
{
    for (size_t i = 0; i < VALUE_COUNT; i++)
        free(wish->values[i]);
}

/* What Proxmox would refuse in words that help nobody. */
static bool is_snapshot_possible(struct context *context, const struct request *request,
                                 struct reply *reply)
{
    struct error error;
    struct guest guest;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(context->stores, &loan, &error) < 0 ||
        guest_find(loan.store, request->vmid, &guest, &error) < 0) {
        reply_internal_failure(reply, context, &loan, &error);
        return false;
    }
    if (strcmp(guest.mount_form, "mp") != 0)
        return true;
    (void)fail(&error, ERROR_CONFLICT,
               "the mount point of the bootstrap directory forbids snapshots: felhomctl enroll %u "
               "--mount entry on the host mends that",
               request->vmid);
    reply_error(reply, 409, error.message);
    return false;
}

static void generate_name(char ret[static SNAPSHOT_NAME_SIZE])
{
    struct tm parts = {0};
    const time_t now = clock_wall_ms() / 1000;
    (void)gmtime_r(&now, &parts);
    (void)strftime(ret, SNAPSHOT_NAME_SIZE, "felhom-%Y%m%d-%H%M%S", &parts);
}

static bool take_name(const char *name, struct job *job, struct reply *reply)
{
    struct error error;
    if (name && snapshot_name_check(name, &error) < 0) {
        reply_error(reply, 400, error.message);
        return false;
    }
    if (name)
        (void)snprintf(job->name, sizeof job->name, "%s", name);
    else
        generate_name(job->name);
    return true;
}

/* What both requests ask alike. */
static bool is_acceptable(struct context *context, const struct request *request,
                          const struct wish *wish, struct job *job, struct reply *reply)
{
    return take_name(wish->values[NAME], job, reply) && enqueue_possible(context, request, reply) &&
           is_snapshot_possible(context, request, reply);
}

void snapshot_post(struct context *context, const struct request *request, struct reply *reply)
{
    struct job job = {.kind = JOB_SNAPSHOT};
    static const struct json_body_key keys[] = {
        [NAME] = {"name", false, SNAPSHOT_NAME_SIZE - 1},
        [DESCRIPTION] = {"description", false, sizeof job.description - 1},
    };
    cleanup(wish_free) struct wish wish = {0};
    if (!body_read(request, keys, ARRAY_SIZE(keys), wish.values, reply) ||
        !is_acceptable(context, request, &wish, &job, reply))
        return;
    if (wish.values[DESCRIPTION])
        (void)snprintf(job.description, sizeof job.description, "%s", wish.values[DESCRIPTION]);
    enqueue(context, request, &job, reply);
}

static bool is_among(const struct pve_snapshots *snapshots, const char *name)
{
    for (size_t i = 0; i < snapshots->count; i++) {
        if (strcmp(snapshots->items[i].name, name) == 0)
            return true;
    }
    return false;
}

static bool exists(struct context *context, const struct request *request, const char *name,
                   struct reply *reply)
{
    struct error error;
    cleanup(pve_snapshots_free) struct pve_snapshots snapshots = {0};
    if (!fetch(context, request, &snapshots, reply))
        return false;
    if (is_among(&snapshots, name))
        return true;
    (void)fail(&error, ERROR_MISSING, "there is no snapshot %s", name);
    reply_error(reply, 404, error.message);
    return false;
}

void rollback_post(struct context *context, const struct request *request, struct reply *reply)
{
    struct job job = {.kind = JOB_ROLLBACK};
    static const struct json_body_key keys[] = {
        [NAME] = {"name", true, SNAPSHOT_NAME_SIZE - 1},
    };
    cleanup(wish_free) struct wish wish = {0};
    if (body_read(request, keys, ARRAY_SIZE(keys), wish.values, reply) &&
        is_acceptable(context, request, &wish, &job, reply) &&
        exists(context, request, job.name, reply))
        enqueue(context, request, &job, reply);
}
