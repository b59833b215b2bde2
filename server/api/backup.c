/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The endpoints of backups, snapshots, rollbacks and restore tests.
 *
 * A guest that asks for a backup, a snapshot or a rollback gets a job in the store, which
 * server/jobs carries out, as far as the guest's quota allows; the reply does not wait for it. The
 * list of snapshots is asked of Proxmox. The state of backups and restore tests is read from the
 * store.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "schema/agent/backup_due.h"
#include "schema/agent/enrolment.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "schema/json/json.h"
#include "server/api/route.h"
#include "server/base/context.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/jobs/jobs.h"
#include "server/jobs/pve_client.h"
#include "server/jobs/snapshot_lists.h"
#include "store/base/clock.h"
#include "store/base/nudge.h"
#include "store/host/host.h"
#include "store/tables/guest.h"
#include "store/tables/job.h"

/* --- requests that become jobs --- */

/* False if there is no usable API token for Proxmox; the reply then is 503 and says why. */
static bool check_pve_token(struct context *context, const struct request *request,
                            struct reply *reply)
{
    struct error error;
    char user[API_TOKEN_USER_SIZE];
    if (pve_token_check(request->config, user, &error) == 0)
        return true;
    reply_upstream_failure(reply, context, &error);
    return false;
}

/* A request that becomes a job, and what it must keep to. */
struct job_request {
    struct job job;
    struct quota quota;
    struct job_limit limit;
};

/* Reads the guest's quota: from its enrolment, of which the valid values count, else from
 * agent.yaml. */
static int quota_read(struct store *store, const struct request *request, struct quota *ret,
                      struct error *error)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(enrolment_free) struct enrolment enrolment = {.customer_id = NULL};
    if (guest_get_enrolment(store, request->vmid, &text, error) < 0)
        return -1;
    enrolment_salvage(buffer_text(&text), text.length, &enrolment);
    *ret = enrolment_quota(&enrolment, &request->config->quota);
    return 0;
}

/* Replies that the guest asks too early for a job of this kind. */
static void reply_too_early(const struct job_request *wanted, const struct job_obstacle *obstacle,
                            struct reply *reply)
{
    const char *kind = job_kind_names[wanted->job.kind];
    const uint32_t seconds = (uint32_t)((obstacle->wait_ms + SECOND_MS - 1) / SECOND_MS);
    const long long interval_s = wanted->limit.interval_ms / SECOND_MS;
    cleanup_free char *text = mem_format("too early: from one %s of this guest to the next it has "
                                         "to be %lld seconds; try again in %u seconds",
                                         kind, interval_s, seconds);
    cleanup_free char *why = mem_format("%u of the %lld seconds from one %s to the next are left",
                                        seconds, interval_s, kind);
    reply_refuse(reply, 429, seconds,
                 wanted->job.kind == JOB_BACKUP ? REFUSAL_BACKUPS_TOO_OFTEN
                                                : REFUSAL_SNAPSHOTS_TOO_OFTEN,
                 text, why);
}

/* The job was not recorded, or would not be: says why. */
static void reply_obstacle(struct context *context, const struct job_request *wanted,
                           const struct job_obstacle *obstacle, struct store_loan *loan,
                           const struct error *error, struct reply *reply)
{
    if (obstacle->wait_ms > 0)
        reply_too_early(wanted, obstacle, reply);
    else if (obstacle->running.job_id || obstacle->outdated)
        reply_error(reply, 409, error->message);
    else
        reply_internal_failure(reply, context, loan, error);
}

/* Records the job for the guest of the request, and wakes the jobs thread: 202 {vmid, job_id,
 * phase}; 409 if the guest has an unfinished job, 429 if it asks too early. */
static void enqueue_job(struct context *context, const struct request *request,
                        const struct job_request *wanted, struct reply *reply)
{
    struct error error;
    int64_t job_id = 0;
    struct job_obstacle obstacle = {.wait_ms = 0};
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(context->stores, &loan, &error) < 0 ||
        job_add(loan.store, &wanted->job, &wanted->limit, clock_wall_ms(), &job_id, &obstacle,
                &error) < 0) {
        reply_obstacle(context, wanted, &obstacle, &loan, &error, reply);
        return;
    }
    store_return(&loan);
    jobs_wake(context->jobs);
    nudge_send(request->config->paths.state);
    reply_data(reply, 202,
               json_pack("{s:I, s:I, s:s}", "vmid", (json_int_t)request->vmid, "job_id",
                         (json_int_t)job_id, "phase", job_phase_names[JOB_RUNNING]));
}

/* --- the snapshots that Proxmox lists --- */

/* What is to be known of the guest before Proxmox can be asked. */
struct snapshot_facts {
    struct guest guest;
    struct host host;
    struct job_mark mark;
};

static int snapshot_facts_read(struct context *context, uint32_t vmid, struct snapshot_facts *ret,
                               struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(context->stores, &loan, error) == 0 &&
        guest_find(loan.store, vmid, &ret->guest, error) == 0 &&
        host_get(loan.store, &ret->host, error) == 0 &&
        job_mark(loan.store, vmid, &ret->mark, error) == 0)
        return 0;
    return store_loan_failed(&loan, error);
}

/* False if the list could not be read; the reply then says why. */
static bool fetch_snapshots(struct context *context, const struct request *request,
                            struct pve_snapshots *ret, struct reply *reply)
{
    struct error error;
    struct snapshot_facts facts;
    if (snapshot_facts_read(context, request->vmid, &facts, &error) < 0) {
        reply_internal_failure(reply, context, NULL, &error);
        return false;
    }
    const struct snapshot_question question = {
        .config = request->config,
        .node = facts.host.node,
        .guest = {facts.guest.kind, facts.guest.vmid},
        .mark = facts.mark,
        .deadline_us = request_deadline_us(request),
    };
    if (snapshot_lists_read(context->snapshots, &question, ret, &error) == 0)
        return true;
    reply_upstream_failure(reply, context, &error);
    return false;
}

static json_t *describe_snapshot(const struct pve_snapshot *snapshot)
{
    return json_pack("{s:o, s:o, s:o, s:o}",            /**/
                     "name", json_text(snapshot->name), /**/
                     "description", json_text(snapshot->description ? snapshot->description : ""),
                     "at", json_time(snapshot->at * 1000), /**/
                     "parent", json_text_or_null(snapshot->parent));
}

void snapshots_get(struct context *context, const struct request *request, struct reply *reply)
{
    cleanup(pve_snapshots_free) struct pve_snapshots snapshots = {0};
    if (!fetch_snapshots(context, request, &snapshots, reply))
        return;
    json_t *described = json_array();
    for (size_t i = 0; i < snapshots.count; i++)
        json_append(described, describe_snapshot(&snapshots.items[i]));
    reply_data(reply, 200,
               json_pack("{s:I, s:o}", "vmid", (json_int_t)request->vmid, "snapshots", described));
}

/* --- taking a snapshot, going back to one --- */

enum { NAME, DESCRIPTION, VALUE_COUNT };

struct snapshot_body {
    char *values[VALUE_COUNT];
};

static void snapshot_body_free(struct snapshot_body *wanted)
{
    for (size_t i = 0; i < VALUE_COUNT; i++)
        free(wanted->values[i]);
}

/* Refuses, with 409, a snapshot that Proxmox would refuse with a message that does not say what
 * to do. */
static bool check_snapshot_possible(struct context *context, const struct request *request,
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

static void snapshot_generate_name(char ret[static SNAPSHOT_NAME_SIZE])
{
    struct tm parts = {0};
    const time_t now = clock_wall_ms() / 1000;
    (void)gmtime_r(&now, &parts);
    (void)strftime(ret, SNAPSHOT_NAME_SIZE, "felhom-%Y%m%d-%H%M%S", &parts);
}

static bool snapshot_take_name(const char *name, struct job *job, struct reply *reply)
{
    struct error error;
    if (name && snapshot_name_check(name, &error) < 0) {
        reply_error(reply, 400, error.message);
        return false;
    }
    if (name)
        (void)snprintf(job->name, sizeof job->name, "%s", name);
    else
        snapshot_generate_name(job->name);
    return true;
}

/* The checks that a snapshot and a rollback have in common. On failure the reply says why. */
static bool check_snapshot_request(struct context *context, const struct request *request,
                                   const struct snapshot_body *wanted, struct job *job,
                                   struct reply *reply)
{
    return snapshot_take_name(wanted->values[NAME], job, reply) &&
           check_pve_token(context, request, reply) &&
           check_snapshot_possible(context, request, reply);
}

/* Reads the quota, and refuses at once, without a question to Proxmox, what job_add would refuse.
 */
static bool check_snapshot_interval(struct context *context, const struct request *request,
                                    struct job_request *wanted, struct reply *reply)
{
    struct error error;
    struct job newest;
    struct job_obstacle obstacle = {.wait_ms = 0};
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(context->stores, &loan, &error) < 0 ||
        quota_read(loan.store, request, &wanted->quota, &error) < 0 ||
        job_newest(loan.store, request->vmid, JOB_SNAPSHOT, &newest, &error) < 0) {
        reply_internal_failure(reply, context, &loan, &error);
        return false;
    }
    /* The snapshots are counted after this: if another one is requested meanwhile, job_add sees
     * that by its number. */
    wanted->limit = (struct job_limit){
        .interval_ms = (int64_t)wanted->quota.snapshot_interval_ms,
        .seen = newest.job_id,
    };
    if (job_check(loan.store, &wanted->job, &wanted->limit, clock_wall_ms(), &obstacle, &error) ==
        0)
        return true;
    reply_obstacle(context, wanted, &obstacle, &loan, &error, reply);
    return false;
}

/* Replies that the guest has as many snapshots as it may. */
static void reply_too_many(const struct request *request, const struct pve_snapshots *snapshots,
                           uint32_t most, struct reply *reply)
{
    const char *oldest = snapshots->items[0].name;
    cleanup_free char *text =
        mem_format("this guest has %zu snapshots, and may have %u: the oldest is %s; have the "
                   "operator delete one on the host (delsnapshot %u %s), or raise the quota",
                   snapshots->count, most, oldest, request->vmid, oldest);
    cleanup_free char *why =
        mem_format("%zu snapshots, %u allowed; oldest: %s", snapshots->count, most, oldest);
    reply_refuse(reply, 409, 0, REFUSAL_TOO_MANY_SNAPSHOTS, text, why);
}

static bool check_snapshot_count(struct context *context, const struct request *request,
                                 uint32_t most, struct reply *reply)
{
    cleanup(pve_snapshots_free) struct pve_snapshots snapshots = {0};
    if (most == 0)
        return true;
    if (!fetch_snapshots(context, request, &snapshots, reply))
        return false;
    if (snapshots.count < most)
        return true;
    reply_too_many(request, &snapshots, most, reply);
    return false;
}

void snapshot_post(struct context *context, const struct request *request, struct reply *reply)
{
    struct job_request wanted = {.job = {.kind = JOB_SNAPSHOT, .vmid = request->vmid}};
    struct job *job = &wanted.job;
    static const struct json_body_key keys[] = {
        [NAME] = {"name", false, SNAPSHOT_NAME_SIZE - 1},
        [DESCRIPTION] = {"description", false, sizeof job->description - 1},
    };
    cleanup(snapshot_body_free) struct snapshot_body body = {0};
    if (!body_read(request, keys, ARRAY_SIZE(keys), body.values, reply) ||
        !check_snapshot_request(context, request, &body, job, reply))
        return;
    if (body.values[DESCRIPTION])
        (void)snprintf(job->description, sizeof job->description, "%s", body.values[DESCRIPTION]);
    if (check_snapshot_interval(context, request, &wanted, reply) &&
        check_snapshot_count(context, request, wanted.quota.snapshots, reply))
        enqueue_job(context, request, &wanted, reply);
}

static bool snapshots_contain(const struct pve_snapshots *snapshots, const char *name)
{
    for (size_t i = 0; i < snapshots->count; i++) {
        if (strcmp(snapshots->items[i].name, name) == 0)
            return true;
    }
    return false;
}

static bool snapshot_exists(struct context *context, const struct request *request,
                            const char *name, struct reply *reply)
{
    struct error error;
    cleanup(pve_snapshots_free) struct pve_snapshots snapshots = {0};
    if (!fetch_snapshots(context, request, &snapshots, reply))
        return false;
    if (snapshots_contain(&snapshots, name))
        return true;
    (void)fail(&error, ERROR_MISSING, "there is no snapshot %s", name);
    reply_error(reply, 404, error.message);
    return false;
}

void rollback_post(struct context *context, const struct request *request, struct reply *reply)
{
    struct job_request wanted = {.job = {.kind = JOB_ROLLBACK, .vmid = request->vmid},
                                 .limit = {.seen = -1}};
    static const struct json_body_key keys[] = {
        [NAME] = {"name", true, SNAPSHOT_NAME_SIZE - 1},
    };
    cleanup(snapshot_body_free) struct snapshot_body body = {0};
    if (body_read(request, keys, ARRAY_SIZE(keys), body.values, reply) &&
        check_snapshot_request(context, request, &body, &wanted.job, reply) &&
        snapshot_exists(context, request, wanted.job.name, reply))
        enqueue_job(context, request, &wanted, reply);
}

/* --- backups and restore tests --- */

/* Returns when the newest backup was made. A backup that a job of ours made may be known before
 * Proxmox lists it. */
static int64_t newest_backup_ms(const struct backup *backup, const struct job *job)
{
    bool is_later = job->phase == JOB_DONE && job->finished_at_ms > backup->at_ms;
    return job->job_id && is_later ? job->finished_at_ms : backup->at_ms;
}

static int backup_read_state(struct store *store, const struct request *request,
                             struct backup_state *ret, struct error *error)
{
    struct backup backup;
    struct job job;
    const struct config *config = request->config;
    if (backup_get(store, request->vmid, &backup, error) < 0 ||
        job_newest(store, request->vmid, JOB_BACKUP, &job, error) < 0)
        return -1;
    *ret = (struct backup_state){
        .now_ms = clock_wall_ms(),
        .backup_at_ms = newest_backup_ms(&backup, &job),
        .running_job_id = job.finished_at_ms == 0 ? job.job_id : 0,
        .max_age_ms = config->backup.max_age_ms,
        .window = config->backup.window,
    };
    return 0;
}

static json_t *describe_backup_due(uint32_t vmid, const struct backup_due *due)
{
    return json_pack("{s:I, s:b, s:s, s:o}",   /**/
                     "vmid", (json_int_t)vmid, /**/
                     "due", due->due,          /**/
                     "reason", due->reason,    /**/
                     "age_seconds", json_integer_or_null(due->age_seconds));
}

void backup_due_get(struct context *context, const struct request *request, struct reply *reply)
{
    struct error error;
    struct backup_state state;
    if (backup_read_state(request->view->store, request, &state, &error) < 0) {
        reply_internal_failure(reply, context, request->view, &error);
        return;
    }
    struct backup_due due = backup_due_decide(&state);
    reply_data(reply, 200, describe_backup_due(request->vmid, &due));
}

/* How long a test may take after its deadline, until its copy is destroyed. */
#define SLACK_MS (15 * MINUTE_MS)

enum test_phase { PHASE_IDLE, PHASE_RUNNING, PHASE_DONE, PHASE_FAILED };

static const char *const test_phase_names[] = {"idle", "running", "done", "failed"};

/* True if the test may still run. The age is also compared below zero, so that a clock that was
 * set back does not make a test run for ever. */
static bool restore_test_may_run(const struct restore_test *test, const struct config *config,
                                 int64_t now_ms)
{
    int64_t age_ms = now_ms - test->started_at_ms;
    int64_t limit_ms = (int64_t)config->restore_test.deadline_ms + SLACK_MS;
    return -limit_ms < age_ms && age_ms < limit_ms;
}

static enum test_phase restore_test_find_phase(const struct restore_test *test,
                                               const struct config *config, int64_t now_ms)
{
    if (test->vmid == 0)
        return PHASE_IDLE;
    if (test->finished_at_ms == 0)
        return restore_test_may_run(test, config, now_ms) ? PHASE_RUNNING : PHASE_FAILED;
    return test->passed ? PHASE_DONE : PHASE_FAILED;
}

static json_t *describe_test_error(const struct restore_test *test)
{
    return json_text(test->finished_at_ms ? test->error : RESTORE_TEST_INTERRUPTED);
}

static json_t *describe_restore_test(uint32_t vmid, const struct restore_test *test,
                                     enum test_phase phase)
{
    bool ended = phase == PHASE_DONE || phase == PHASE_FAILED;
    return json_pack("{s:I, s:s, s:o, s:o, s:o, s:o}",                                        /**/
                     "vmid", (json_int_t)vmid,                                                /**/
                     "phase", test_phase_names[phase],                                        /**/
                     "archive", phase == PHASE_IDLE ? json_null() : json_text(test->archive), /**/
                     "passed", ended ? json_boolean(phase == PHASE_DONE) : json_null(),       /**/
                     "at", json_time(test->finished_at_ms),                                   /**/
                     "error", phase == PHASE_FAILED ? describe_test_error(test) : json_null());
}

void restore_test_status_get(struct context *context, const struct request *request,
                             struct reply *reply)
{
    struct error error;
    struct restore_test test;
    if (restore_test_get(request->view->store, request->vmid, &test, &error) < 0) {
        reply_internal_failure(reply, context, request->view, &error);
        return;
    }
    enum test_phase phase = restore_test_find_phase(&test, request->config, clock_wall_ms());
    reply_data(reply, 200, describe_restore_test(request->vmid, &test, phase));
}

/* False if the store cannot be read; the reply then says so. */
static bool find_backup_limit(struct context *context, const struct request *request,
                              struct job_request *wanted, struct reply *reply)
{
    struct error error;
    struct backup_state state;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(context->stores, &loan, &error) < 0 ||
        quota_read(loan.store, request, &wanted->quota, &error) < 0 ||
        backup_read_state(loan.store, request, &state, &error) < 0) {
        reply_internal_failure(reply, context, &loan, &error);
        return false;
    }
    wanted->job.due = backup_due_decide(&state).due;
    wanted->limit = (struct job_limit){
        .interval_ms = (int64_t)wanted->quota.backup_interval_ms,
        /* A backup that is dated in the future makes no room for further ones. */
        .backup_at_ms = state.backup_at_ms <= state.now_ms ? state.backup_at_ms : 0,
        .seen = -1,
    };
    return true;
}

void backup_post(struct context *context, const struct request *request, struct reply *reply)
{
    static const struct json_body_key no_keys[1];
    struct job_request wanted = {.job = {.kind = JOB_BACKUP, .vmid = request->vmid}};
    char *no_values[1];
    if (body_read(request, no_keys, 0, no_values, reply) &&
        check_pve_token(context, request, reply) &&
        find_backup_limit(context, request, &wanted, reply))
        enqueue_job(context, request, &wanted, reply);
}

static json_t *describe_backup(const struct backup *backup)
{
    if (backup->archive[0] == '\0')
        return json_null();
    return json_pack("{s:o, s:o, s:o}", "archive", json_text(backup->archive), "size_bytes",
                     json_integer_or_null(backup->size_bytes), "at", json_time(backup->at_ms));
}

/* A guest that never asked for a backup has the phase idle. */
static json_t *describe_backup_status(uint32_t vmid, const struct job *job,
                                      const struct backup *backup)
{
    const bool any = job->job_id != 0;
    return json_pack("{s:I, s:s, s:o, s:o, s:o}",                                         /**/
                     "vmid", (json_int_t)vmid,                                            /**/
                     "phase", any ? job_phase_names[job->phase] : "idle",                 /**/
                     "job_id", any ? json_integer((json_int_t)job->job_id) : json_null(), /**/
                     "error", any && job->phase == JOB_FAILED ? json_text(job->error) : json_null(),
                     "backup", describe_backup(backup));
}

void backup_status_get(struct context *context, const struct request *request, struct reply *reply)
{
    struct error error;
    struct job job;
    struct backup backup;
    struct store *store = request->view->store;
    if (job_newest(store, request->vmid, JOB_BACKUP, &job, &error) == 0 &&
        backup_get(store, request->vmid, &backup, &error) == 0)
        reply_data(reply, 200, describe_backup_status(request->vmid, &job, &backup));
    else
        reply_internal_failure(reply, context, request->view, &error);
}
