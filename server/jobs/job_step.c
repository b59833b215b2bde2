/* SPDX-License-Identifier: Apache-2.0 */
#include "server/jobs/job_step.h"

#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/base/nudge.h"
#include "store/tables/guest.h"

#define QUESTION_US     (10 * SECOND_US)
#define DEMAND_US       (30 * SECOND_US) /* as long as Proxmox's own proxy waits */
#define STORE_RETRY_US  (5 * SECOND_US)
#define SILENCE_US      (SECOND_US * 24 * 3600)
#define SILENCE_FIRST   SECOND_US
#define SILENCE_LAST    (30 * SECOND_US)
#define BACKOFF_DOUBLES 16

int64_t job_step(const struct job_world *world, const struct job *job, struct job_memory *memory)
{
    if (job->upid[0])
        return job_follow_step(world, job, memory);
    return job->called_at_ms ? job_look_step(world, job, memory)
                             : job_call_step(world, job, memory);
}

static struct pve_call call_within(const struct job_world *world, int64_t time_us)
{
    return (struct pve_call){
        .client = world->client,
        .config = world->config,
        .node = world->node,
        .deadline_us = clock_steady_us() + time_us,
    };
}

struct pve_call job_question(const struct job_world *world)
{
    return call_within(world, QUESTION_US);
}

struct pve_call job_demand(const struct job_world *world)
{
    return call_within(world, DEMAND_US);
}

int job_guest(const struct job_world *world, const struct job *job, struct pve_guest *ret,
              struct error *error)
{
    struct guest guest;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(world->stores, &loan, error) < 0 ||
        guest_find(loan.store, job->vmid, &guest, error) < 0) {
        store_loan_failed(&loan, error);
        return -1;
    }
    *ret = (struct pve_guest){guest.kind, guest.vmid};
    return 0;
}

static int change_store(const struct job_world *world, const struct job *job, job_change *change,
                        const char *text, struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(world->stores, &loan, error) == 0 && change(loan.store, job, text, error) == 0)
        return 0;
    store_loan_failed(&loan, error);
    return -1;
}

int job_record(const struct job_world *world, const struct job *job, job_change *change,
               const char *text, struct error *error)
{
    if (change_store(world, job, change, text, error) < 0)
        return -1;
    nudge_send(world->config->paths.state);
    return 0;
}

static int change_begun(struct store *store, const struct job *job, const char *text,
                        struct error *error)
{
    return job_set_upid(store, job->job_id, text, error);
}

int job_record_begun(const struct job_world *world, const struct job *job, const char *upid,
                     struct error *error)
{
    return job_record(world, job, change_begun, upid, error);
}

int64_t job_unrecorded(const struct job_world *world, const struct job *job,
                       const struct error *error)
{
    job_tell(world, job, "its progress cannot be recorded", error->message);
    return STORE_RETRY_US;
}

static int change_failed(struct store *store, const struct job *job, const char *text,
                         struct error *error)
{
    return job_finish(store, job->job_id, false, text, clock_wall_ms(), error);
}

int64_t job_failed(const struct job_world *world, const struct job *job, const char *problem)
{
    struct error error;
    job_tell(world, job, "failed", problem);
    if (job_record(world, job, change_failed, problem, &error) < 0)
        return job_unrecorded(world, job, &error);
    return INT64_MAX;
}

void job_answered(struct job_memory *memory)
{
    memory->failures = 0;
}

int64_t job_missing_for(struct job_memory *memory)
{
    const int64_t now_us = clock_steady_us();
    if (memory->missing_since_us == 0)
        memory->missing_since_us = now_us;
    return now_us - memory->missing_since_us;
}

static int64_t give_up(const struct job_world *world, const struct job *job,
                       const struct error *error)
{
    struct error problem = *error;
    (void)fail_context(&problem, "Proxmox has not told for a day how it went");
    return job_failed(world, job, problem.message);
}

int64_t job_unanswered(const struct job_world *world, const struct job *job,
                       struct job_memory *memory, const struct error *error)
{
    const int64_t now_us = clock_steady_us();
    if (memory->failures++ == 0) {
        memory->silent_since_us = now_us;
        job_tell(world, job, "Proxmox does not tell how it goes", error->message);
    }
    if (now_us - memory->silent_since_us >= SILENCE_US)
        return give_up(world, job, error);
    return job_backoff(memory->failures, SILENCE_FIRST, SILENCE_LAST);
}

int64_t job_backoff(uint32_t count, int64_t first_us, int64_t last_us)
{
    const uint32_t doubles = count > BACKOFF_DOUBLES ? BACKOFF_DOUBLES : count;
    const int64_t wait_us = doubles ? first_us << (doubles - 1) : first_us;
    return wait_us < last_us ? wait_us : last_us;
}

void job_tell(const struct job_world *world, const struct job *job, const char *what,
              const char *detail)
{
    if (!atomic_load(world->stopping))
        log_guest(LOG_NOTICE, job->vmid, job_kind_name(job->kind),
                  "guest %u: job %lld (%s): %s: %s", job->vmid, (long long)job->job_id,
                  job_kind_name(job->kind), what, detail);
}
