/* SPDX-License-Identifier: Apache-2.0 */
#include "server/jobs/jobs.h"

#include <stdlib.h>

#include "schema/base/memory.h"
#include "server/agent.h"
#include "server/base/worker.h"
#include "server/jobs/job_step.h"
#include "server/jobs/newest_backup.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/tables/host.h"

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
