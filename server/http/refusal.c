/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/refusal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "server/base/context.h"
#include "server/base/limiter.h"
#include "server/base/lock.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/net/source_table.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/tables/event.h"

#define MALFORMED    "malformed request"
#define THIS_HOST    "this host"
#define PATH_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789/.-"

#define ROWS 256 /* of a group */

#define EXPLAINED_PER_SOURCE 10  /* for each source in a minute, all at once if need be */
#define EXPLAINED_IN_ALL     240 /* for all of a group in a minute, all at once if need be */

/* --- how often refusals are logged and explained --- */

/* The refusals of one source for one reason, counted since they were last logged. */
struct refusal_row {
    uint64_t source; /* 0: free, or the last row, which all sources share that find no other */
    enum refusal_reason reason;
    int64_t logged_us; /* when they were last logged; 0: never */
    uint32_t unlogged;
};

/* How many refusals of one source may still be explained. */
struct pace {
    uint64_t source; /* 0: free, or the last pace, which all sources share that find no other */
    struct bucket explained;
};

struct refusal_group {
    struct refusal_row rows[ROWS + 1];
    struct pace paces[ROWS + 1];
    struct bucket explained; /* the limit for all sources of the group together */
};

/* Guests and others do not share rows: a stranger can have as many addresses as it likes, and with
 * them would take the place of what guests are refused. */
enum refusal_group_kind { GROUP_OTHERS, GROUP_GUESTS, GROUPS };

struct refusals {
    pthread_mutex_t lock;
    struct refusal_group groups[GROUPS];
};

static struct refusal_group *refusals_group(struct refusals *refusals, const struct peer *peer)
{
    return &refusals->groups[peer->vmid != 0 ? GROUP_GUESTS : GROUP_OTHERS];
}

struct refusals *refusals_new(void)
{
    struct refusals *refusals = mem_new(struct refusals);
    (void)pthread_mutex_init(&refusals->lock, NULL);
    return refusals;
}

void refusals_free(struct refusals *refusals)
{
    if (!refusals)
        return;
    (void)pthread_mutex_destroy(&refusals->lock);
    free(refusals);
}

static bool row_is_old(const struct refusal_row *row, int64_t now_us)
{
    return row->logged_us == 0 || now_us - row->logged_us >= MINUTE_US;
}

/* Returns the row of this source and reason; else one that is free or was logged over a minute
 * ago; else the last row. */
static struct refusal_row *group_find_row(struct refusal_group *group, uint64_t source,
                                          enum refusal_reason reason, int64_t now_us)
{
    struct refusal_row *found = &group->rows[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        struct refusal_row *row = &group->rows[i];
        if (row->source == source && row->reason == reason)
            return row;
        if (found == &group->rows[ROWS] && row_is_old(row, now_us))
            found = row;
    }
    if (found != &group->rows[ROWS])
        *found = (struct refusal_row){.source = source, .reason = reason};
    return found;
}

uint32_t refusals_count(struct refusals *refusals, const struct peer *peer,
                        enum refusal_reason reason, int64_t now_us)
{
    uint32_t count = 0;
    struct refusal_group *group = refusals_group(refusals, peer);
    lock_scope(&refusals->lock);
    struct refusal_row *row = group_find_row(group, source_key(peer), reason, now_us);
    row->unlogged++;
    if (row_is_old(row, now_us)) {
        count = row->unlogged;
        row->unlogged = 0;
        row->logged_us = now_us;
    }
    return count;
}

/* Returns the pace of this source; else one that is free or full again; else the last one. */
static struct pace *group_find_pace(struct refusal_group *group, uint64_t source, int64_t now_us)
{
    struct pace *found = &group->paces[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        struct pace *pace = &group->paces[i];
        if (pace->source == source)
            return pace;
        if (found == &group->paces[ROWS] && pace->explained.full_at_us <= now_us)
            found = pace;
    }
    if (found != &group->paces[ROWS])
        *found = (struct pace){.source = source};
    return found;
}

bool refusals_may_explain(struct refusals *refusals, const struct peer *peer, int64_t now_us)
{
    const struct bucket_rate own =
        bucket_rate(EXPLAINED_PER_SOURCE, MINUTE_US, EXPLAINED_PER_SOURCE);
    const struct bucket_rate all = bucket_rate(EXPLAINED_IN_ALL, MINUTE_US, EXPLAINED_IN_ALL);
    struct refusal_group *group = refusals_group(refusals, peer);
    lock_scope(&refusals->lock);
    struct pace *pace = group_find_pace(group, source_key(peer), now_us);
    return bucket_take(&pace->explained, &own, now_us) == 0 &&
           bucket_take(&group->explained, &all, now_us) == 0;
}

/* --- the event and the line in the log --- */

/* "revoked token: token Ab3dE6gH (12 times)" */
static char *refusal_describe(const struct refusal *refusal, uint32_t count)
{
    const char *reason = refusal_reason_name(refusal->reason);
    const char *colon = refusal->detail[0] ? ": " : "";
    if (count == 1)
        return mem_format("%s%s%s", reason, colon, refusal->detail);
    return mem_format("%s%s%s (%u times)", reason, colon, refusal->detail, count);
}

void refusal_log(struct store_pool *stores, const struct peer *peer, const struct refusal *refusal,
                 uint32_t count)
{
    char source[PEER_NAME_SIZE];
    struct error error;
    cleanup_free char *detail = refusal_describe(refusal, count);
    cleanup_store_loan struct store_loan loan = {0};
    peer_name(peer, source);
    const struct event event = {
        .at_ms = clock_wall_ms(),
        .vmid = refusal->vmid,
        .kind = EVENT_REFUSED,
        .outcome = "warning",
        .detail = detail,
        .source = source,
        .duration_us = -1,
        .origin = peer->vmid,
    };
    log_guest(LOG_NOTICE, event.vmid, event.kind, "refused %s: %s", source, detail);
    if (store_borrow_writer(stores, &loan, &error) == 0 &&
        event_add(loan.store, &event, &error) == 0)
        return;
    store_loan_failed(&loan, &error);
    log_line(LOG_WARNING, "the event could not be written: %s", error.message);
}

/* --- explanations --- */

#define copy_text(field, text) copy_truncated(field, sizeof(field), text)

static void copy_truncated(char *ret, size_t size, const char *text)
{
    size_t whole = strlen(text);
    size_t length = whole < size ? whole : size - 1;
    memcpy(ret, text, length);
    ret[length] = '\0';
}

static void explanation_save(struct context *context, const struct explanation *explanation)
{
    struct error error;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow_writer(context->stores, &loan, &error) == 0 &&
        explanation_add(loan.store, explanation, &error) == 0)
        return;
    store_loan_failed(&loan, &error);
    throttled_log_line(&context->log, LOG_WARNING, "a refusal could not be remembered: %s",
                       error.message);
}

static struct explanation explanation_begin(const struct peer *peer, const struct reply *reply)
{
    struct explanation explanation = {
        .at_ms = clock_wall_ms(), .status = reply->status, .origin = peer->vmid};
    copy_text(explanation.request_id, reply->request_id);
    copy_text(explanation.detail, reply->why);
    peer_name(peer, explanation.source);
    return explanation;
}

/* False if the path may hold something that a client put there by mistake, such as a token: a
 * token has letters that no path of ours has. */
static bool is_plain_path(const char *path)
{
    return strspn(path, PATH_LETTERS) == strlen(path);
}

static const char *explain_reason(const struct request *request, const struct reply *reply,
                                  const struct refusal *refusal)
{
    if (refusal->reason != REFUSAL_NONE)
        return refusal_reason_name(refusal->reason);
    if (!request->peer)
        return MALFORMED;
    if (!request->destination.route)
        return reply->status == 405 ? "unknown method" : "unknown path";
    return reply->status >= 500 ? THIS_HOST : "the endpoint";
}

/* If the token was not accepted, refusal->detail is its public id. */
static void explanation_set_token(const struct request *request, const struct refusal *refusal,
                                  struct explanation *explanation)
{
    explanation->vmid = request->vmid ? request->vmid : refusal->vmid;
    copy_text(explanation->token_id, request->vmid ? request->token_id : refusal->detail);
    if (request->vmid && refusal->reason != REFUSAL_NONE)
        copy_text(explanation->detail, refusal->detail);
}

static bool explanation_is_due(struct context *context, const struct peer *peer,
                               const struct reply *reply)
{
    return reply->status >= 400 && refusals_may_explain(context->refusals, peer, clock_steady_us());
}

static void explain_request(struct context *context, const struct peer *peer,
                            const struct request *request, const struct reply *reply,
                            const struct refusal *refusal)
{
    if (!explanation_is_due(context, peer, reply))
        return;
    struct explanation explanation = explanation_begin(peer, reply);
    copy_text(explanation.method, request->head ? "HEAD" : request->method);
    copy_text(explanation.path, is_plain_path(request->path) ? request->path : "");
    copy_text(explanation.reason, explain_reason(request, reply, refusal));
    explanation_set_token(request, refusal, &explanation);
    explanation_save(context, &explanation);
}

void refusal_report(struct context *context, const struct peer *peer, const struct request *request,
                    const struct reply *reply, const struct refusal *refusal)
{
    if (refusal->reason != REFUSAL_NONE) {
        counters_add_refusal(&context->counters, refusal->reason);
        uint32_t count =
            refusals_count(context->refusals, peer, refusal->reason, clock_steady_us());
        if (count > 0)
            refusal_log(context->stores, peer, refusal, count);
    }
    explain_request(context, peer, request, reply, refusal);
}

void refusal_explain_waited(struct context *context, const struct peer *peer,
                            const struct asked *asked, const struct reply *reply,
                            const struct refusal *refusal)
{
    if (!explanation_is_due(context, peer, reply))
        return;
    struct explanation explanation = explanation_begin(peer, reply);
    copy_text(explanation.method, asked->method);
    copy_text(explanation.path, asked->path);
    copy_text(explanation.reason,
              refusal->reason != REFUSAL_NONE ? refusal_reason_name(refusal->reason) : THIS_HOST);
    explanation.vmid = asked->vmid;
    copy_text(explanation.token_id, asked->token_id);
    explanation_save(context, &explanation);
}

void refusal_explain_malformed(struct context *context, const struct peer *peer,
                               const struct reply *reply)
{
    if (!explanation_is_due(context, peer, reply))
        return;
    struct explanation explanation = explanation_begin(peer, reply);
    copy_text(explanation.reason, MALFORMED);
    explanation_save(context, &explanation);
}
