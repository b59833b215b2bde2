/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker thread "jobs". In each turn (jobs_turn) it reads the unfinished jobs from the store,
 * takes one step (job_step.h) of each job whose next step is due, and then, if that is due, asks
 * Proxmox for one guest's newest backup. jobs_wake begins a turn at once; otherwise the worker
 * sleeps until the next step is due, but never longer than a minute.
 *
 * Everything in this file except jobs_start, jobs_stop and jobs_wake runs in the worker thread and
 * needs no lock.
 */
#include "server/jobs/jobs.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "server/base/context.h"
#include "server/base/worker.h"
#include "server/jobs/job_step.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/host/host.h"
#include "store/tables/guest.h"
#include "store/tables/job.h"

#define STORE_RETRY_US   (5 * SECOND_US)
#define LOOK_EVERY_US    (60 * SECOND_US) /* even if not woken, because a nudge may get lost */
#define BACKUPS_EVERY_US (15 * MINUTE_US)
#define BACKUPS_PAUSE_US (60 * SECOND_US) /* if there is no token, or the store fails */
#define BACKUPS_TIME_US  (10 * SECOND_US) /* for Proxmox to list one guest's backups */

/* An unfinished job, with what the worker knows beyond the store. */
struct unfinished_job {
    struct job job;
    struct job_memory memory;
    int64_t due_us; /* when to take its next step, by clock_steady_us */
};

struct unfinished_jobs {
    struct unfinished_job *items; /* oldest first */
    size_t count;
};

struct jobs {
    struct context *context;
    atomic_bool stopping;
    struct worker *worker;
    struct pve_client *client; /* this and the members below are for the worker thread only */
    struct unfinished_jobs unfinished;
    struct newest_backups backups;
    struct throttled_log log;
};

/* --- the unfinished jobs --- */

static int jobs_keep(const struct job *job, void *context)
{
    struct unfinished_jobs *jobs = context;
    jobs->items = mem_grow(jobs->items, jobs->count, sizeof *jobs->items);
    jobs->items[jobs->count++] = (struct unfinished_job){.job = *job};
    return 0;
}

static int jobs_read_store(struct jobs *jobs, struct unfinished_jobs *ret, struct host *ret_host,
                           struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(jobs->context->stores, &loan, error) == 0 &&
        host_get(loan.store, ret_host, error) == 0 &&
        job_each_unfinished(loan.store, jobs_keep, ret, error) == 0)
        return 0;
    return store_loan_failed(&loan, error);
}

/* Copies memory and due_us to the jobs that were just read. Both lists are sorted by job_id. */
static void jobs_carry_over(const struct unfinished_jobs *from, struct unfinished_jobs *to)
{
    size_t j = 0;
    for (size_t i = 0; i < to->count; i++) {
        while (j < from->count && from->items[j].job.job_id < to->items[i].job.job_id)
            j++;
        if (j == from->count || from->items[j].job.job_id != to->items[i].job.job_id)
            continue;
        to->items[i].memory = from->items[j].memory;
        to->items[i].due_us = from->items[j].due_us;
    }
}

static int jobs_refresh(struct jobs *jobs, struct host *ret_host)
{
    struct error error;
    struct unfinished_jobs unfinished = {0};
    if (jobs_read_store(jobs, &unfinished, ret_host, &error) < 0) {
        throttled_log_line(&jobs->log, LOG_ERR, "cannot read the jobs from the store: %s",
                           error.message);
        free(unfinished.items);
        return -1;
    }
    jobs_carry_over(&jobs->unfinished, &unfinished);
    free(jobs->unfinished.items);
    jobs->unfinished = unfinished;
    return 0;
}

/* Takes one step of each job whose time has come. Returns when the next step is due. */
static int64_t jobs_take_steps(struct jobs *jobs, const struct job_world *world)
{
    int64_t next_us = INT64_MAX;
    for (size_t i = 0; i < jobs->unfinished.count && !atomic_load(&jobs->stopping); i++) {
        struct unfinished_job *job = &jobs->unfinished.items[i];
        if (job->due_us <= clock_steady_us()) {
            const int64_t wait_us = job_step(world, &job->job, &job->memory);
            job->due_us = wait_us == INT64_MAX ? INT64_MAX : clock_steady_us() + wait_us;
        }
        if (job->due_us < next_us)
            next_us = job->due_us;
    }
    return next_us;
}

/* --- the guests' newest backups --- */

void newest_backups_clear(struct newest_backups *backups)
{
    free(backups->storage);
    (void)pthread_mutex_destroy(&backups->log.lock);
}

/* Finds the guest with the next higher VMID; *ret becomes 0 if there is none. */
static int newest_backups_find_next(struct store_pool *stores, uint32_t after, uint32_t *ret,
                                    struct error *error)
{
    size_t i = 0;
    cleanup(vmids_free) struct vmids guests = {0};
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(stores, &loan, error) < 0 || guest_list(loan.store, &guests, error) < 0)
        return store_loan_failed(&loan, error);
    while (i < guests.count && guests.items[i] <= after)
        i++;
    *ret = i < guests.count ? guests.items[i] : 0;
    return 0;
}

/* Ends this round; the next round begins after wait_us. */
static void newest_backups_end_round(struct newest_backups *backups, int64_t wait_us)
{
    backups->vmid = 0;
    backups->at_us = clock_steady_us() + wait_us;
}

static void newest_backups_log(struct newest_backups *backups, const struct error *error)
{
    if (!atomic_load(backups->stopping))
        throttled_log_line(&backups->log, LOG_WARNING, "cannot look for guests' newest backups: %s",
                           error->message);
}

static void newest_backups_ask(struct newest_backups *backups, struct store_pool *stores,
                               const struct pve_call *call)
{
    struct error error;
    if (job_read_newest_backup(stores, call, backups->vmid, &error) == 0) {
        backups->failures = 0;
        return;
    }
    newest_backups_log(backups, &error);
    /* A guest that was just removed, or a malformed reply about this guest, says nothing about
     * the next guest, so the round goes on. */
    if (error.kind != ERROR_MISSING && error.kind != ERROR_CORRUPT)
        newest_backups_end_round(
            backups, worker_backoff_ms(++backups->failures, BACKUPS_EVERY_US / 1000) * 1000);
}

static void newest_backups_take_turn(struct newest_backups *backups, struct store_pool *stores,
                                     const struct pve_call *call)
{
    struct error error;
    uint32_t vmid = 0;
    if (newest_backups_find_next(stores, backups->vmid, &vmid, &error) < 0) {
        newest_backups_log(backups, &error);
        newest_backups_end_round(backups, BACKUPS_PAUSE_US);
    } else if (vmid == 0) {
        newest_backups_end_round(backups, BACKUPS_EVERY_US);
    } else {
        backups->vmid = vmid;
        newest_backups_ask(backups, stores, call);
    }
}

int64_t newest_backups_turn(struct newest_backups *backups, struct store_pool *stores,
                            const struct pve_call *call)
{
    struct error error;
    const char *storage = call->config->backup.storage;
    if (!backups->storage || strcmp(backups->storage, storage) != 0) {
        /* Another storage has other backups: a new round begins at once. */
        free(backups->storage);
        backups->storage = mem_copy_text(storage);
        backups->failures = 0;
        newest_backups_end_round(backups, 0);
    }
    if (clock_steady_us() < backups->at_us)
        return backups->at_us;
    if (pve_token_check(call->config, NULL, &error) == 0)
        newest_backups_take_turn(backups, stores, call);
    else
        newest_backups_end_round(backups, BACKUPS_PAUSE_US);
    return backups->at_us;
}

static int64_t jobs_look_at_backups(struct jobs *jobs, const struct job_world *world)
{
    const struct pve_call call = {
        .client = world->client,
        .config = world->config,
        .node = world->node,
        .deadline_us = clock_steady_us() + BACKUPS_TIME_US,
    };
    if (atomic_load(&jobs->stopping))
        return INT64_MAX;
    return newest_backups_turn(&jobs->backups, world->stores, &call);
}

/* --- the worker --- */

static int64_t jobs_turn(void *context)
{
    struct jobs *jobs = context;
    struct host host;
    cleanup_server_config struct server_config *current = context_config(jobs->context);
    if (jobs_refresh(jobs, &host) < 0)
        return STORE_RETRY_US;
    const struct job_world world = {
        .stores = jobs->context->stores,
        .client = jobs->client,
        .config = &current->config,
        .node = host.node,
        .stopping = &jobs->stopping,
    };
    int64_t next_us = jobs_take_steps(jobs, &world);
    const int64_t backups_us = jobs_look_at_backups(jobs, &world);
    if (backups_us < next_us)
        next_us = backups_us;
    const int64_t wait_us = next_us - clock_steady_us();
    if (wait_us > LOOK_EVERY_US)
        return LOOK_EVERY_US;
    return wait_us > 0 ? wait_us : 0;
}

struct jobs *jobs_start(struct context *context)
{
    struct jobs *jobs = mem_new(struct jobs);
    jobs->context = context;
    jobs->client = pve_client_new(&jobs->stopping, &context->counters.proxmox);
    jobs->log = THROTTLED_LOG_NEW;
    jobs->backups = (struct newest_backups){.log = THROTTLED_LOG_NEW, .stopping = &jobs->stopping};
    jobs->worker = worker_start("jobs", jobs_turn, jobs);
    return jobs;
}

void jobs_stop(struct jobs *jobs)
{
    if (!jobs)
        return;
    atomic_store(&jobs->stopping, true);
    worker_stop(jobs->worker);
    pve_client_free(jobs->client);
    newest_backups_clear(&jobs->backups);
    (void)pthread_mutex_destroy(&jobs->log.lock);
    free(jobs->unfinished.items);
    free(jobs);
}

void jobs_wake(struct jobs *jobs)
{
    if (jobs)
        worker_wake(jobs->worker);
}
