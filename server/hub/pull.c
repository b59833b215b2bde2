/* SPDX-License-Identifier: Apache-2.0 */
#include "server/hub/pull.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "server/base/worker.h"
#include "server/hub/hub.h"
#include "server/hub/hub_due.h"
#include "server/hub/hub_record.h"
#include "store/base/clock.h"
#include "store/base/log.h"

#define SECOND_US      ((int64_t)1000000)
#define LOOK_PAUSE_US  SECOND_US
#define LOOK_EVERY_US  (60 * SECOND_US) /* without being woken: a nudge may get lost */
#define ROUND_US       (5 * SECOND_US)  /* so that a report has not to wait for all guests */
#define CUSTOMER_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

enum verdict { VERDICT_PULLED, VERDICT_FAILED, VERDICT_REFUSED, VERDICT_UNREACHED };

static enum verdict judge(const struct http_reply *reply, struct error *error)
{
    if (reply->status != 200) {
        (void)fail(error, ERROR_SYSTEM, "the hub answered %d", reply->status);
        return reply->status == 401 || reply->status == 404 ? VERDICT_REFUSED : VERDICT_FAILED;
    }
    if (hub_config_check(buffer_text(&reply->body), reply->body.length, error) < 0)
        return VERDICT_FAILED;
    return VERDICT_PULLED;
}

static enum verdict ask(const struct hub_puller *puller, const struct config *config,
                        const struct hub_errand *errand, struct http_reply *reply,
                        struct error *error)
{
    /* It needs no escaping then; enrolment_parse lets nothing else pass. */
    if (errand->customer[strspn(errand->customer, CUSTOMER_CHARS)] != '\0') {
        (void)fail(error, ERROR_INVALID, "the customer's id cannot stand in a URL");
        return VERDICT_FAILED;
    }
    cleanup_free char *path = mem_format("api/v1/config/%s", errand->customer);
    const struct hub_request request = {
        .path = path,
        .credential = "X-Retrieval-Password: ",
        .secret = errand->password,
    };
    if (hub_request_perform(puller->client, config, &request, reply, error) == 0)
        return judge(reply, error);
    return error->kind == ERROR_INVALID ? VERDICT_FAILED : VERDICT_UNREACHED;
}

/* Of a guest that was taken out in the meantime there is nothing to record. */
static void record(struct hub_puller *puller, const struct config *config,
                   const struct hub_errand *errand, enum verdict verdict, const struct buffer *body,
                   const char *problem)
{
    struct error error;
    cleanup_store_loan struct store_loan loan = {0};
    int result = store_borrow(puller->stores, &loan, &error);
    const struct hub_record to = {loan.store, &puller->log, (int64_t)config->hub.poll_ms,
                                  clock_wall_ms()};
    if (result == 0)
        result = verdict == VERDICT_PULLED
                     ? hub_record_success(&to, errand, body, &error)
                     : hub_record_failure(&to, errand, problem, verdict == VERDICT_REFUSED, &error);
    if (result == 0 || error.kind == ERROR_MISSING)
        return;
    store_loan_failed(&loan, &error);
    throttled_log_guest(&puller->log, LOG_ERR, errand->pull.vmid, "hub",
                        "hub: what it answered for guest %u is lost: %s", errand->pull.vmid,
                        error.message);
}

static void heed_reach(struct hub_puller *puller, const struct config *config, bool is_reached)
{
    int64_t poll_ms = (int64_t)config->hub.poll_ms;
    puller->unreached = is_reached ? 0 : puller->unreached + 1;
    puller->reach_at_us = 0;
    if (!is_reached)
        puller->reach_at_us = clock_steady_us() + backoff_ms(puller->unreached, poll_ms) * 1000;
}

/* False where there is no point in asking for the others just now. */
static bool pull(struct hub_puller *puller, const struct config *config,
                 const struct hub_errand *errand)
{
    struct error error;
    cleanup_http_reply struct http_reply reply = {0};
    enum verdict verdict = ask(puller, config, errand, &reply, &error);
    if (atomic_load(puller->stopping))
        return false; /* a failure may be our own doing */
    record(puller, config, errand, verdict, &reply.body, error.message);
    heed_reach(puller, config, verdict != VERDICT_UNREACHED);
    return verdict != VERDICT_UNREACHED;
}

/* Until all are done, the hub is away, or it has taken long enough. */
static void pull_round(struct hub_puller *puller, const struct config *config,
                       const struct hub_errands *errands)
{
    int64_t end_us = clock_steady_us() + ROUND_US;
    for (size_t i = 0; i < errands->count && clock_steady_us() < end_us; i++)
        if (!pull(puller, config, &errands->items[i]))
            return;
}

static int list(struct hub_puller *puller, const struct hub_look *look, struct hub_errands *ret)
{
    struct error error;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(puller->stores, &loan, &error) == 0 &&
        hub_errands_list(loan.store, look, ret, &error) == 0)
        return 0;
    store_loan_failed(&loan, &error);
    throttled_log_line(&puller->log, LOG_ERR, "hub: the guests could not be looked at: %s",
                       error.message);
    return -1;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t next_work_us(const struct hub_puller *puller, const struct hub_look *look,
                            const struct hub_errands *errands, int64_t now_us)
{
    if (puller->reach_at_us > now_us)
        return puller->reach_at_us;
    if (errands->count > 0)
        return now_us; /* there may be more */
    if (errands->next_at_ms == INT64_MAX)
        return INT64_MAX;
    return now_us + (errands->next_at_ms - look->now_ms) * 1000;
}

static int64_t look_again_us(const struct hub_puller *puller, const struct hub_look *look,
                             const struct hub_errands *errands)
{
    int64_t now_us = clock_steady_us();
    int64_t soonest_us = puller->looked_at_us + LOOK_PAUSE_US;
    int64_t at_us = earlier(next_work_us(puller, look, errands, now_us), now_us + LOOK_EVERY_US);
    return at_us > soonest_us ? at_us : soonest_us;
}

int64_t hub_pull_turn(struct hub_puller *puller, const struct config *config, bool fresh)
{
    int64_t now_us = clock_steady_us();
    cleanup(hub_errands_free) struct hub_errands errands = {.next_at_ms = INT64_MAX};
    if (fresh)
        heed_reach(puller, config, true);
    else if (now_us < puller->looked_at_us + LOOK_PAUSE_US)
        return puller->looked_at_us + LOOK_PAUSE_US;
    const struct hub_look look = {
        .config = config,
        .now_ms = clock_wall_ms(),
        .unreachable = now_us < puller->reach_at_us,
        .fresh = fresh,
    };
    puller->looked_at_us = now_us;
    if (list(puller, &look, &errands) == 0)
        pull_round(puller, config, &errands);
    return look_again_us(puller, &look, &errands);
}
