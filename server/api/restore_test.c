/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/restore_test.h"

#include "schema/json/json.h"
#include "server/agent.h"
#include "server/api/handlers.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "store/base/clock.h"

/* What a test may take beyond its deadline to have its copy destroyed. */
#define SLACK_MS (INT64_C(15) * 60 * 1000)

enum phase { PHASE_IDLE, PHASE_RUNNING, PHASE_DONE, PHASE_FAILED };

static const char *const phase_names[] = {"idle", "running", "done", "failed"};

/* A clock that was put back in the meantime makes no difference. */
static bool may_run(const struct restore_test *test, const struct config *config, int64_t now_ms)
{
    int64_t age_ms = now_ms - test->started_at_ms;
    int64_t limit_ms = (int64_t)config->restore_test.deadline_ms + SLACK_MS;
    return -limit_ms < age_ms && age_ms < limit_ms;
}

static enum phase find_phase(const struct restore_test *test, const struct config *config,
                             int64_t now_ms)
{
    if (test->vmid == 0)
        return PHASE_IDLE;
    if (test->finished_at_ms == 0)
        return may_run(test, config, now_ms) ? PHASE_RUNNING : PHASE_FAILED;
    return test->passed ? PHASE_DONE : PHASE_FAILED;
}

static json_t *describe_error(const struct restore_test *test)
{
    return json_text(test->finished_at_ms ? test->error : RESTORE_TEST_INTERRUPTED);
}

static json_t *describe(uint32_t vmid, const struct restore_test *test, enum phase phase)
{
    bool ended = phase == PHASE_DONE || phase == PHASE_FAILED;
    return json_pack("{s:I, s:s, s:o, s:o, s:o, s:o}",                                        /**/
                     "vmid", (json_int_t)vmid,                                                /**/
                     "phase", phase_names[phase],                                             /**/
                     "archive", phase == PHASE_IDLE ? json_null() : json_text(test->archive), /**/
                     "passed", ended ? json_boolean(phase == PHASE_DONE) : json_null(),       /**/
                     "at", api_time(test->finished_at_ms),                                    /**/
                     "error", phase == PHASE_FAILED ? describe_error(test) : json_null());
}

void restore_test_status_get(struct agent *agent, const struct request *request,
                             struct reply *reply)
{
    struct error error;
    struct restore_test test;
    if (restore_test_get(request->view->store, request->vmid, &test, &error) < 0) {
        agent_fail(agent, request->view, &error, reply);
        return;
    }
    enum phase phase = find_phase(&test, &request->setup->config, clock_wall_ms());
    reply_data(reply, 200, describe(request->vmid, &test, phase));
}
