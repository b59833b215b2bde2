/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/refusal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "server/base/limiter.h"
#include "server/net/sources.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/tables/event.h"

#define MINUTE_US ((int64_t)60 * 1000000)
#define ROWS      256

#define EXPLAINED_PER_SOURCE 10  /* a minute, all of them at once if need be */
#define EXPLAINED_IN_ALL     240 /* likewise */

/* What was counted since it was last told of. */
struct row {
    uint64_t source; /* 0: free, or the last row, which is for all that find no other */
    const char *reason;
    int64_t told_us; /* 0: never */
    uint32_t untold;
};

/* How much of a source was remembered. */
struct pace {
    uint64_t source; /* 0: free, or the last one, which is for all that find no other */
    struct bucket explained;
};

struct refusals {
    pthread_mutex_t lock;
    struct row rows[ROWS + 1];
    struct pace paces[ROWS + 1];
    struct bucket explained; /* of all sources */
};

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

static bool is_old(const struct row *row, int64_t now_us)
{
    return row->told_us == 0 || now_us - row->told_us >= MINUTE_US;
}

/* The row of this source and reason, else one that may be taken, else the last. */
static struct row *find_row(struct refusals *refusals, uint64_t source, const char *reason,
                            int64_t now_us)
{
    struct row *found = &refusals->rows[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        struct row *row = &refusals->rows[i];
        if (row->source == source && strcmp(row->reason, reason) == 0)
            return row;
        if (found == &refusals->rows[ROWS] && is_old(row, now_us))
            found = row;
    }
    if (found != &refusals->rows[ROWS])
        *found = (struct row){.source = source, .reason = reason};
    return found;
}

uint32_t refusals_count(struct refusals *refusals, const struct peer *peer, const char *reason,
                        int64_t now_us)
{
    uint32_t count = 0;
    (void)pthread_mutex_lock(&refusals->lock);
    struct row *row = find_row(refusals, source_key(peer), reason, now_us);
    row->untold++;
    if (is_old(row, now_us)) {
        count = row->untold;
        row->untold = 0;
        row->told_us = now_us;
    }
    (void)pthread_mutex_unlock(&refusals->lock);
    return count;
}

/* The pace of this source, else one that may be taken, else the last. */
static struct pace *find_pace(struct refusals *refusals, uint64_t source, int64_t now_us)
{
    struct pace *found = &refusals->paces[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        struct pace *pace = &refusals->paces[i];
        if (pace->source == source)
            return pace;
        if (found == &refusals->paces[ROWS] && pace->explained.full_at_us <= now_us)
            found = pace;
    }
    if (found != &refusals->paces[ROWS])
        *found = (struct pace){.source = source};
    return found;
}

bool refusals_may_explain(struct refusals *refusals, const struct peer *peer, int64_t now_us)
{
    const struct bucket_rate own =
        bucket_rate(EXPLAINED_PER_SOURCE, MINUTE_US, EXPLAINED_PER_SOURCE);
    const struct bucket_rate all = bucket_rate(EXPLAINED_IN_ALL, MINUTE_US, EXPLAINED_IN_ALL);
    (void)pthread_mutex_lock(&refusals->lock);
    struct pace *pace = find_pace(refusals, source_key(peer), now_us);
    bool taken = bucket_take(&pace->explained, &own, now_us) == 0 &&
                 bucket_take(&refusals->explained, &all, now_us) == 0;
    (void)pthread_mutex_unlock(&refusals->lock);
    return taken;
}

/* "revoked token: token Ab3dE6gH (12 times)" */
static char *describe(const struct refusal *refusal, uint32_t count)
{
    const char *colon = refusal->detail[0] ? ": " : "";
    if (count == 1)
        return mem_format("%s%s%s", refusal->reason, colon, refusal->detail);
    return mem_format("%s%s%s (%u times)", refusal->reason, colon, refusal->detail, count);
}

void refusal_tell(struct store_pool *stores, const struct peer *peer, const struct refusal *refusal,
                  uint32_t count)
{
    char source[PEER_NAME_SIZE];
    struct error error;
    cleanup_free char *detail = describe(refusal, count);
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
    };
    log_guest(LOG_NOTICE, event.vmid, event.kind, "refused %s: %s", source, detail);
    if (store_borrow_pen(stores, &loan, &error) == 0 && event_add(loan.store, &event, &error) == 0)
        return;
    store_loan_failed(&loan, &error);
    log_line(LOG_WARNING, "the event could not be written: %s", error.message);
}
