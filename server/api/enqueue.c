/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api/enqueue.h"

#include "server/agent.h"
#include "server/http/request.h"
#include "server/jobs/jobs.h"
#include "server/jobs/pve_client.h"
#include "store/base/clock.h"
#include "store/base/nudge.h"

bool enqueue_possible(struct agent *agent, const struct request *request, struct reply *reply)
{
    struct error error;
    char user[PVE_USER_SIZE];
    if (pve_token_check(&request->setup->config, user, &error) == 0)
        return true;
    agent_outside_fail(agent, &error, reply);
    return false;
}

/* *ret_running: where there is one, so that this one is refused. */
static int add(struct agent *agent, const struct job *job, int64_t *ret_job_id,
               struct job *ret_running, struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(agent->stores, &loan, error) == 0 &&
        job_add(loan.store, job, clock_wall_ms(), ret_job_id, ret_running, error) == 0)
        return 0;
    if (ret_running->job_id == 0)
        store_loan_failed(&loan, error);
    return -1;
}

void enqueue(struct agent *agent, const struct request *request, const struct job *job,
             struct reply *reply)
{
    struct error error;
    struct job running = {0};
    struct job added = *job;
    added.vmid = request->vmid;
    if (add(agent, &added, &added.job_id, &running, &error) == 0) {
        jobs_wake(agent->jobs);
        nudge_send(request->setup->config.paths.state);
        reply_data(reply, 202,
                   json_pack("{s:I, s:I, s:s}", "vmid", (json_int_t)added.vmid, "job_id",
                             (json_int_t)added.job_id, "phase", job_phase_name(JOB_RUNNING)));
        return;
    }
    if (running.job_id)
        reply_error(reply, 409, error.message);
    else
        agent_fail(agent, NULL, &error, reply);
}
