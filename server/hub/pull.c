/* SPDX-License-Identifier: Apache-2.0 */
#include "server/hub/pull.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "server/base/limiter.h"
#include "server/base/worker.h"
#include "server/hub/hub.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/tables/event.h"
#include "store/tables/guest.h"

struct vmids {
    uint32_t *items;
    size_t count;
};

static void vmids_free(struct vmids *vmids)
{
    free(vmids->items);
}

static int keep_vmid(const struct guest *guest, void *context)
{
    struct vmids *vmids = context;
    vmids->items = mem_resize(vmids->items, vmids->count + 1, sizeof *vmids->items);
    vmids->items[vmids->count++] = guest->vmid;
    return 0;
}

void hub_errands_free(struct hub_errands *errands)
{
    for (size_t i = 0; i < errands->count; i++) {
        char *password = errands->items[i].password;
        explicit_bzero(password, strlen(password));
        free(password);
        free(errands->items[i].customer);
    }
    free(errands->items);
}

static void add(struct hub_errands *errands, const struct enrolment *enrolment,
                const struct hub_pull *pull)
{
    errands->items = mem_resize(errands->items, errands->count + 1, sizeof *errands->items);
    errands->items[errands->count++] = (struct hub_errand){
        .customer = mem_copy_text(enrolment->customer_id),
        .password = mem_copy_text(enrolment->hub_retrieval_password),
        .pull = *pull,
    };
}

/* No try is ever that far away: the clock was put back, or hub.poll was longer then. */
static bool is_too_far(const struct hub_look *look, int64_t at_ms)
{
    int64_t longest_ms = (int64_t)look->config->hub.poll_ms;
    return at_ms - look->now_ms > longest_ms + longest_ms / 8;
}

static bool is_due(const struct hub_look *look, const struct hub_pull *pull)
{
    bool is_new = pull->next_try_at_ms == 0;
    if (is_new || look->unreachable)
        return is_new;
    return pull->next_try_at_ms <= look->now_ms || is_too_far(look, pull->next_try_at_ms) ||
           (look->fresh && pull->failures > 0);
}

static void sort_in(const struct hub_look *look, const struct enrolment *enrolment,
                    const struct hub_pull *pull, struct hub_errands *errands)
{
    if (is_due(look, pull))
        add(errands, enrolment, pull);
    else if (pull->next_try_at_ms < errands->next_at_ms)
        errands->next_at_ms = pull->next_try_at_ms;
}

static int consider(struct store *store, const struct hub_look *look, uint32_t vmid,
                    const struct enrolment *enrolment, struct hub_errands *errands,
                    struct error *error)
{
    struct hub_pull pull;
    uint8_t origin[DIGEST_BYTES];
    if (hub_pull_get(store, vmid, &pull, error) < 0)
        return -1;
    if (!hub_origin(look->config->hub.url, enrolment, origin))
        return pull.vmid ? hub_config_forget(store, vmid, error) : 0;
    if (memcmp(pull.origin, origin, sizeof origin) != 0) {
        pull = (struct hub_pull){.vmid = vmid};
        memcpy(pull.origin, origin, sizeof origin);
    }
    if (!pull.refused)
        sort_in(look, enrolment, &pull, errands);
    return 0;
}

/* pre-start has refused what cannot be read: such an enrolment is an older one's. */
static int look_at(struct store *store, const struct hub_look *look, uint32_t vmid,
                   struct hub_errands *errands, struct error *error)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(enrolment_free) struct enrolment enrolment = {0};
    if (guest_get_enrolment(store, vmid, &text, error) < 0)
        return -1;
    if (enrolment_parse("enrolment", buffer_text(&text), text.length, &enrolment, error) < 0)
        return 0;
    return consider(store, look, vmid, &enrolment, errands, error);
}

static int compare(const void *a, const void *b)
{
    int64_t left = ((const struct hub_errand *)a)->pull.next_try_at_ms;
    int64_t right = ((const struct hub_errand *)b)->pull.next_try_at_ms;
    return (left > right) - (left < right);
}

int hub_errands_list(struct store *store, const struct hub_look *look, struct hub_errands *ret,
                     struct error *error)
{
    cleanup(vmids_free) struct vmids vmids = {0};
    struct hub_errands errands = {.next_at_ms = INT64_MAX};
    int result = guest_each(store, keep_vmid, &vmids, error);
    for (size_t i = 0; i < vmids.count && result == 0; i++)
        result = look_at(store, look, vmids.items[i], &errands, error);
    if (result < 0) {
        hub_errands_free(&errands);
        return -1;
    }
    if (errands.count > 1)
        qsort(errands.items, errands.count, sizeof *errands.items, compare);
    *ret = errands;
    return 0;
}

/* What the hub answered goes into the store, the audit trail and the log. */

struct hub_record {
    struct store *store;
    struct throttled_log *log;
    int64_t poll_ms;
    int64_t now_ms;
};

#define EVENT_KIND "hub"

static int add_event(const struct hub_record *record, const struct hub_errand *errand,
                     const char *outcome, const char *detail, struct error *error)
{
    const struct event event = {
        .at_ms = record->now_ms,
        .vmid = errand->pull.vmid,
        .kind = EVENT_KIND,
        .outcome = outcome,
        .detail = detail,
        .duration_us = -1,
    };
    return event_add(record->store, &event, error);
}

static void tell(const struct hub_record *record, int priority, const struct hub_errand *errand,
                 const char *detail)
{
    throttled_log_guest(record->log, priority, errand->pull.vmid, EVENT_KIND, "hub: guest %u: %s",
                        errand->pull.vmid, detail);
}

static bool is_same(const struct buffer *a, const struct buffer *b)
{
    return a->length == b->length && memcmp(buffer_text(a), buffer_text(b), a->length) == 0;
}

static int put(const struct hub_record *record, const struct hub_errand *errand,
               const struct buffer *body, const char *detail, bool *ret_changed,
               struct error *error)
{
    cleanup_buffer struct buffer old = BUFFER_EMPTY;
    struct hub_pull pull = errand->pull;
    pull.next_try_at_ms = record->now_ms + record->poll_ms;
    if (hub_config_get(record->store, pull.vmid, pull.origin, &old, error) < 0 ||
        hub_config_put(record->store, &pull, buffer_text(body), body->length, record->now_ms,
                       error) < 0)
        return -1;
    *ret_changed = !is_same(&old, body);
    return *ret_changed ? add_event(record, errand, "ok", detail, error) : 0;
}

static int put_at_once(const struct hub_record *record, const struct hub_errand *errand,
                       const struct buffer *body, const char *detail, bool *ret_changed,
                       struct error *error)
{
    if (store_begin(record->store, error) < 0)
        return -1;
    if (put(record, errand, body, detail, ret_changed, error) == 0 &&
        store_commit(record->store, error) == 0)
        return 0;
    store_rollback(record->store);
    return -1;
}

/* The next pull is due after poll_ms. The event tells of a body that is another one. */
static int hub_record_success(const struct hub_record *record, const struct hub_errand *errand,
                              const struct buffer *body, struct error *error)
{
    bool is_changed = false;
    cleanup_free char *detail = mem_format("configuration of customer %s pulled, %zu bytes",
                                           errand->customer, body->length);
    if (put_at_once(record, errand, body, detail, &is_changed, error) < 0)
        return -1;
    if (is_changed || errand->pull.failures > 0)
        tell(record, LOG_INFO, errand, detail);
    return 0;
}

static char *describe(const struct hub_errand *errand, const char *problem, bool is_refusal)
{
    if (is_refusal)
        return mem_format("the hub refuses the configuration of customer %s (%s): it is not asked "
                          "again until customer or password are others",
                          errand->customer, problem);
    return mem_format("the configuration of customer %s could not be pulled: %s", errand->customer,
                      problem);
}

static struct hub_pull after_failure(const struct hub_record *record,
                                     const struct hub_errand *errand, bool is_refusal)
{
    struct hub_pull pull = errand->pull;
    pull.refused = is_refusal;
    pull.failures++;
    pull.next_try_at_ms = record->now_ms + worker_backoff_ms(pull.failures, record->poll_ms);
    return pull;
}

static int note(const struct hub_record *record, const struct hub_errand *errand,
                const struct hub_pull *pull, const char *problem, const char *detail,
                struct error *error)
{
    if (hub_config_fail(record->store, pull, problem, error) < 0)
        return -1;
    if (pull->failures > 1 && !pull->refused)
        return 0;
    return add_event(record, errand, pull->refused ? "error" : "warning", detail, error);
}

static int note_at_once(const struct hub_record *record, const struct hub_errand *errand,
                        const struct hub_pull *pull, const char *problem, const char *detail,
                        struct error *error)
{
    if (store_begin(record->store, error) < 0)
        return -1;
    if (note(record, errand, pull, problem, detail, error) == 0 &&
        store_commit(record->store, error) == 0)
        return 0;
    store_rollback(record->store);
    return -1;
}

/* The next try is due by worker_backoff_ms up to poll_ms; after a refusal there is none. The event
 * tells of the first failure in a row, and of a refusal; the log of each that differs from the one
 * before. */
static int hub_record_failure(const struct hub_record *record, const struct hub_errand *errand,
                              const char *problem, bool is_refusal, struct error *error)
{
    cleanup_buffer struct buffer old = BUFFER_EMPTY;
    cleanup_free char *detail = describe(errand, problem, is_refusal);
    const struct hub_pull pull = after_failure(record, errand, is_refusal);
    if (hub_config_problem(record->store, pull.vmid, &old, error) < 0 ||
        note_at_once(record, errand, &pull, problem, detail, error) < 0)
        return -1;
    if (pull.failures == 1 || strcmp(buffer_text(&old), problem) != 0)
        tell(record, LOG_WARNING, errand, detail);
    return 0;
}

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
        puller->reach_at_us =
            clock_steady_us() + worker_backoff_ms(puller->unreached, poll_ms) * 1000;
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
