/* SPDX-License-Identifier: Apache-2.0 */
#include "server/jobs/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "server/agent.h"
#include "server/base/worker.h"
#include "server/jobs/job_step.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/tables/guest.h"
#include "store/tables/host.h"
#include "store/tables/job.h"

#define SECOND_US ((int64_t)1000000)
#define EVERY_US  (SECOND_US * 15 * 60)
#define PAUSE_US  (60 * SECOND_US) /* until a token, or the store, is looked for again */

/* --- one guest's --- */

static int record(struct store_pool *stores, uint32_t vmid, const struct backup *backup,
                  struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(stores, &loan, error) == 0 && backup_put(loan.store, vmid, backup, error) == 0)
        return 0;
    store_loan_failed(&loan, error);
    return -1;
}

int newest_backup_look(struct store_pool *stores, const struct pve_call *call, uint32_t vmid,
                       struct error *error)
{
    struct pve_backup newest;
    struct backup backup = {0};
    if (pve_newest_backup(call, vmid, &newest, error) < 0)
        return -1;
    (void)snprintf(backup.archive, sizeof backup.archive, "%s", newest.archive);
    backup.size_bytes = newest.size_bytes;
    backup.at_ms = newest.at * 1000;
    return record(stores, vmid, &backup, error);
}

/* --- all guests' --- */

void newest_backups_clear(struct newest_backups *backups)
{
    free(backups->storage);
    (void)pthread_mutex_destroy(&backups->log.lock);
}

struct search {
    uint32_t after;
    uint32_t found;
};

static int stop_after(const struct guest *guest, void *context)
{
    struct search *search = context;
    if (guest->vmid > search->after)
        search->found = guest->vmid;
    return search->found != 0;
}

/* The next guest's VMID; 0 where there are no more. */
static int find_next(struct store_pool *stores, uint32_t after, uint32_t *ret, struct error *error)
{
    struct search search = {.after = after};
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(stores, &loan, error) < 0 ||
        guest_each(loan.store, stop_after, &search, error) < 0) {
        store_loan_failed(&loan, error);
        return -1;
    }
    *ret = search.found;
    return 0;
}

/* Ends this look. */
static void leave_for(struct newest_backups *backups, int64_t wait_us)
{
    backups->vmid = 0;
    backups->at_us = clock_steady_us() + wait_us;
}

static void tell(struct newest_backups *backups, const struct error *error)
{
    if (!atomic_load(backups->stopping))
        throttled_log_line(&backups->log, LOG_WARNING,
                           "guests' newest backups cannot be looked at: %s", error->message);
}

/* Whether it says nothing of how the next guest's would go: that it was removed just now, or that
 * what Proxmox says of it is not as documented. */
static bool is_of_one_guest(const struct error *error)
{
    return error->kind == ERROR_MISSING || error->kind == ERROR_CORRUPT;
}

static void heed_failure(struct newest_backups *backups, const struct error *error)
{
    tell(backups, error);
    if (!is_of_one_guest(error))
        leave_for(backups, backoff_ms(++backups->failures, EVERY_US / 1000) * 1000);
}

static void look(struct newest_backups *backups, struct store_pool *stores,
                 const struct pve_call *call)
{
    struct error error;
    if (newest_backup_look(stores, call, backups->vmid, &error) < 0)
        heed_failure(backups, &error);
    else
        backups->failures = 0;
}

static void take_turn(struct newest_backups *backups, struct store_pool *stores,
                      const struct pve_call *call)
{
    struct error error;
    uint32_t vmid;
    if (find_next(stores, backups->vmid, &vmid, &error) < 0) {
        tell(backups, &error);
        leave_for(backups, PAUSE_US);
    } else if (vmid == 0) {
        leave_for(backups, EVERY_US);
    } else {
        backups->vmid = vmid;
        look(backups, stores, call);
    }
}

/* Another storage has other backups. */
static void heed_storage(struct newest_backups *backups, const char *storage)
{
    if (backups->storage && strcmp(backups->storage, storage) == 0)
        return;
    free(backups->storage);
    backups->storage = mem_copy_text(storage);
    backups->failures = 0;
    leave_for(backups, 0);
}

int64_t newest_backups_turn(struct newest_backups *backups, struct store_pool *stores,
                            const struct pve_call *call)
{
    struct error error;
    heed_storage(backups, call->config->backup.storage);
    if (clock_steady_us() < backups->at_us)
        return backups->at_us;
    if (pve_token_check(call->config, NULL, &error) == 0)
        take_turn(backups, stores, call);
    else
        leave_for(backups, PAUSE_US);
    return backups->at_us;
}

#define STORE_RETRY_US  (5 * SECOND_US)
#define LOOK_EVERY_US   (60 * SECOND_US) /* without being woken: a wake-up may get lost */
#define BACKUPS_TIME_US (10 * SECOND_US) /* for Proxmox to list a guest's */

/* An unfinished job, and what is known of it beyond the store. */
struct errand {
    struct job job;
    struct job_memory memory;
    int64_t due_us; /* when to take its next step, by clock_steady_us */
};

struct errands {
    struct errand *items; /* oldest first */
    size_t count;
};

struct jobs {
    struct agent *agent;
    atomic_bool stopping;
    struct worker *worker;
    struct pve_client *client; /* from here on the worker's */
    struct errands errands;
    struct newest_backups backups;
    struct throttled_log log;
};

/* --- what the store knows --- */

static int keep_job(const struct job *job, void *context)
{
    struct errands *errands = context;
    errands->items = mem_resize(errands->items, errands->count + 1, sizeof *errands->items);
    errands->items[errands->count++] = (struct errand){.job = *job};
    return 0;
}

static int read_store(struct jobs *jobs, struct errands *ret, struct host *ret_host,
                      struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(jobs->agent->stores, &loan, error) == 0 &&
        host_get(loan.store, ret_host, error) == 0 &&
        job_each_unfinished(loan.store, keep_job, ret, error) == 0)
        return 0;
    store_loan_failed(&loan, error);
    return -1;
}

/* Both are sorted by job. */
static void carry_over(const struct errands *from, struct errands *to)
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

static int refresh(struct jobs *jobs, struct host *ret_host)
{
    struct error error;
    struct errands errands = {0};
    if (read_store(jobs, &errands, ret_host, &error) < 0) {
        throttled_log_line(&jobs->log, LOG_ERR, "the jobs cannot be looked at: %s", error.message);
        free(errands.items);
        return -1;
    }
    carry_over(&jobs->errands, &errands);
    free(jobs->errands.items);
    jobs->errands = errands;
    return 0;
}

/* --- steps --- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t after(int64_t wait_us)
{
    return wait_us == INT64_MAX ? INT64_MAX : clock_steady_us() + wait_us;
}

/* One step of each job whose time has come. Returns when the next is due. */
static int64_t take_steps(struct jobs *jobs, const struct job_world *world)
{
    int64_t next_us = INT64_MAX;
    for (size_t i = 0; i < jobs->errands.count && !atomic_load(&jobs->stopping); i++) {
        struct errand *errand = &jobs->errands.items[i];
        if (errand->due_us <= clock_steady_us())
            errand->due_us = after(job_step(world, &errand->job, &errand->memory));
        next_us = earlier(next_us, errand->due_us);
    }
    return next_us;
}

static int64_t look_at_backups(struct jobs *jobs, const struct job_world *world)
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

static int64_t step(void *context)
{
    struct jobs *jobs = context;
    struct host host;
    cleanup_setup struct setup *setup = agent_setup(jobs->agent);
    if (refresh(jobs, &host) < 0)
        return STORE_RETRY_US;
    const struct job_world world = {
        .stores = jobs->agent->stores,
        .client = jobs->client,
        .config = &setup->config,
        .node = host.node,
        .stopping = &jobs->stopping,
    };
    int64_t next_us = take_steps(jobs, &world);
    next_us = earlier(next_us, look_at_backups(jobs, &world));
    int64_t wait_us = earlier(next_us - clock_steady_us(), LOOK_EVERY_US);
    return wait_us > 0 ? wait_us : 0;
}

/* --- beginning and end --- */

struct jobs *jobs_start(struct agent *agent)
{
    struct jobs *jobs = mem_new(struct jobs);
    jobs->agent = agent;
    atomic_init(&jobs->stopping, false);
    jobs->client = pve_client_new(&jobs->stopping);
    pve_client_count(jobs->client, &agent->tally.proxmox);
    jobs->log = THROTTLED_LOG_NEW;
    jobs->backups = (struct newest_backups){.log = THROTTLED_LOG_NEW, .stopping = &jobs->stopping};
    jobs->worker = worker_start("jobs", step, jobs);
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
    free(jobs->errands.items);
    free(jobs);
}

void jobs_wake(struct jobs *jobs)
{
    if (jobs)
        worker_wake(jobs->worker);
}
