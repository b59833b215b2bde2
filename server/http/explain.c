/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/explain.h"

#include <string.h>

#include "server/agent.h"
#include "server/api/route.h"
#include "server/events/parked.h"
#include "server/http/request.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/tables/event.h"

#define MALFORMED    "malformed request"
#define THIS_HOST    "this host"
#define PATH_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789/.-"

#define copy_text(field, text) copy_cut(field, sizeof(field), text)

static void copy_cut(char *ret, size_t size, const char *text)
{
    size_t whole = strlen(text);
    size_t length = whole < size ? whole : size - 1;
    memcpy(ret, text, length);
    ret[length] = '\0';
}

static void save(struct agent *agent, const struct explanation *explanation)
{
    struct error error;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow_pen(agent->stores, &loan, &error) == 0 &&
        explanation_add(loan.store, explanation, &error) == 0)
        return;
    store_loan_failed(&loan, &error);
    throttled_log_line(&agent->log, LOG_WARNING, "a refusal could not be remembered: %s",
                       error.message);
}

static struct explanation begin(const struct peer *peer, const struct reply *reply)
{
    struct explanation explanation = {.at_ms = clock_wall_ms(), .status = reply->status};
    copy_text(explanation.request_id, reply->request_id);
    copy_text(explanation.detail, reply->why);
    peer_name(peer, explanation.source);
    return explanation;
}

/* Whatever a client may have put into a path by mistake: a token, for one, has other letters. */
static bool is_plain_path(const char *path)
{
    return strspn(path, PATH_LETTERS) == strlen(path);
}

static const char *reason_of(const struct request *request, const struct reply *reply,
                             const struct refusal *refusal)
{
    if (refusal->reason)
        return refusal->reason;
    if (!request->peer)
        return MALFORMED;
    const struct destination destination = route_destination(request->path);
    if (!route_find(&destination, request->method))
        return reply->status == 405 ? "unknown method" : "unknown path";
    return reply->status >= 500 ? THIS_HOST : "the endpoint";
}

/* Of a token that was not accepted, the refusal's detail is the id. */
static void describe_token(const struct request *request, const struct refusal *refusal,
                           struct explanation *explanation)
{
    explanation->vmid = request->vmid ? request->vmid : refusal->vmid;
    copy_text(explanation->token_id, request->vmid ? request->token_id : refusal->detail);
    if (request->vmid && refusal->reason)
        copy_text(explanation->detail, refusal->detail);
}

static bool is_time(struct agent *agent, const struct peer *peer, const struct reply *reply)
{
    return reply->status >= 400 && refusals_may_explain(agent->refusals, peer, clock_steady_us());
}

void explain_request(struct agent *agent, const struct peer *peer, const struct request *request,
                     const struct reply *reply, const struct refusal *refusal)
{
    if (!is_time(agent, peer, reply))
        return;
    struct explanation explanation = begin(peer, reply);
    copy_text(explanation.method, request->head ? "HEAD" : request->method);
    copy_text(explanation.path, is_plain_path(request->path) ? request->path : "");
    copy_text(explanation.reason, reason_of(request, reply, refusal));
    describe_token(request, refusal, &explanation);
    save(agent, &explanation);
}

void explain_waiter(struct agent *agent, const struct peer *peer, const struct waiter *waiter,
                    const struct reply *reply, const struct refusal *refusal)
{
    if (!is_time(agent, peer, reply))
        return;
    struct explanation explanation = begin(peer, reply);
    copy_text(explanation.method, waiter->head ? "HEAD" : "GET");
    copy_text(explanation.path, route_path(waiter->endpoint));
    copy_text(explanation.reason, refusal->reason ? refusal->reason : THIS_HOST);
    explanation.vmid = waiter->vmid;
    copy_text(explanation.token_id, waiter->token_id);
    save(agent, &explanation);
}

void explain_malformed(struct agent *agent, const struct peer *peer, const struct reply *reply)
{
    if (!is_time(agent, peer, reply))
        return;
    struct explanation explanation = begin(peer, reply);
    copy_text(explanation.reason, MALFORMED);
    save(agent, &explanation);
}
