/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/backup_due.h"
#include "schema/json/json.h"
#include "server/agent.h"
#include "server/api/handlers.h"
#include "server/http/request.h"
#include "store/base/clock.h"
#include "store/tables/job.h"

/* A backup may be known from its job before Proxmox lists it. */
static int64_t newest_backup(const struct backup *backup, const struct job *job)
{
    bool is_later = job->phase == JOB_DONE && job->finished_at_ms > backup->at_ms;
    return job->job_id && is_later ? job->finished_at_ms : backup->at_ms;
}

static int read_state(const struct request *request, struct backup_state *ret, struct error *error)
{
    struct store *store = request->view->store;
    struct backup backup;
    struct job job;
    const struct config *config = &request->setup->config;
    if (backup_get(store, request->vmid, &backup, error) < 0 ||
        job_newest(store, request->vmid, JOB_BACKUP, &job, error) < 0)
        return -1;
    *ret = (struct backup_state){
        .now_ms = clock_wall_ms(),
        .backup_at_ms = newest_backup(&backup, &job),
        .running_job_id = job.finished_at_ms == 0 ? job.job_id : 0,
        .max_age_ms = config->backup.max_age_ms,
        .window = config->backup.window,
    };
    return 0;
}

static json_t *describe(uint32_t vmid, const struct backup_due *due)
{
    return json_pack("{s:I, s:b, s:s, s:o}",   /**/
                     "vmid", (json_int_t)vmid, /**/
                     "due", due->due,          /**/
                     "reason", due->reason,    /**/
                     "age_seconds",            /**/
                     due->age_seconds < 0 ? json_null() : json_integer(due->age_seconds));
}

void backup_due_get(struct agent *agent, const struct request *request, struct reply *reply)
{
    struct error error;
    struct backup_state state;
    if (read_state(request, &state, &error) < 0) {
        agent_fail(agent, request->view, &error, reply);
        return;
    }
    struct backup_due due = backup_due_decide(&state);
    reply_data(reply, 200, describe(request->vmid, &due));
}
