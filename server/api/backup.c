/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/json/json.h"
#include "server/agent.h"
#include "server/api/handlers.h"
#include "server/api/snapshots.h"
#include "server/http/reply.h"
#include "server/http/request.h"

void backup_post(struct agent *agent, const struct request *request, struct reply *reply)
{
    static const struct json_body_key no_keys[1];
    static const struct job job = {.kind = JOB_BACKUP};
    char *no_values[1];
    if (body_read(request, no_keys, 0, no_values, reply) && enqueue_possible(agent, request, reply))
        enqueue(agent, request, &job, reply);
}

static json_t *describe_backup(const struct backup *backup)
{
    if (backup->archive[0] == '\0')
        return json_null();
    return json_pack("{s:o, s:o, s:o}", "archive", json_text(backup->archive), "size_bytes",
                     backup->size_bytes < 0 ? json_null()
                                            : json_integer((json_int_t)backup->size_bytes),
                     "at", api_time(backup->at_ms));
}

/* A guest that never asked for one is idle. */
static json_t *describe(uint32_t vmid, const struct job *job, const struct backup *backup)
{
    const bool any = job->job_id != 0;
    return json_pack("{s:I, s:s, s:o, s:o, s:o}",                                         /**/
                     "vmid", (json_int_t)vmid,                                            /**/
                     "phase", any ? job_phase_name(job->phase) : "idle",                  /**/
                     "job_id", any ? json_integer((json_int_t)job->job_id) : json_null(), /**/
                     "error", any && job->phase == JOB_FAILED ? json_text(job->error) : json_null(),
                     "backup", describe_backup(backup));
}

void backup_status_get(struct agent *agent, const struct request *request, struct reply *reply)
{
    struct error error;
    struct job job;
    struct backup backup;
    struct store *store = request->view->store;
    if (job_newest(store, request->vmid, JOB_BACKUP, &job, &error) == 0 &&
        backup_get(store, request->vmid, &backup, &error) == 0)
        reply_data(reply, 200, describe(request->vmid, &job, &backup));
    else
        agent_fail(agent, request->view, &error, reply);
}
