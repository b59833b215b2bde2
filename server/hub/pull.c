/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pulls the guests' configurations from the hub. A turn (hub_pull_turn) finds in the store which
 * guests are due, asks the hub for one after the other, and records each reply in the store, with
 * an event and a line in the log. No store is borrowed while the hub is asked. All of it runs in
 * the hub's worker thread.
 */
#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "server/base/worker.h"
#include "server/hub/hub.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/tables/event.h"
#include "store/tables/guest.h"
#include "store/tables/hub_config.h"

#define EVENT_KIND     "hub"
#define LOOK_PAUSE_US  SECOND_US
#define LOOK_EVERY_US  (60 * SECOND_US) /* even if not woken, because a nudge may get lost */
#define ROUND_US       (5 * SECOND_US)  /* so that a report need not wait for all guests */
#define CUSTOMER_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

/* --- which guests are due --- */

/* A guest whose configuration is to be pulled now. */
struct due_pull {
    char *customer;
    char *password; /* wiped when freed */
    struct hub_pull pull;
};

struct due_pulls {
    struct due_pull *items; /* the one that has been due longest first */
    size_t count;
    int64_t next_at_ms; /* when the next of the other guests is due; INT64_MAX: no other guest */
};

struct due_query {
    const struct config *config; /* hub.url is set */
    int64_t now_ms;
    bool unreachable; /* the hub is not answering: consider only guests for which this hub was never
                         asked */
    bool fresh;       /* what failed is due, even if its next try is set later */
};

static void due_pulls_free(struct due_pulls *due)
{
    for (size_t i = 0; i < due->count; i++) {
        char *password = due->items[i].password;
        explicit_bzero(password, strlen(password));
        free(password);
        free(due->items[i].customer);
    }
    free(due->items);
}

static void due_pulls_add(struct due_pulls *due, const struct enrolment *enrolment,
                          const struct hub_pull *pull)
{
    due->items = mem_grow(due->items, due->count, sizeof *due->items);
    due->items[due->count++] = (struct due_pull){
        .customer = mem_copy_text(enrolment->customer_id),
        .password = mem_copy_text(enrolment->hub_retrieval_password),
        .pull = *pull,
    };
}

static bool pull_is_due(const struct due_query *query, const struct hub_pull *pull)
{
    const bool is_new = pull->next_try_at_ms == 0;
    if (is_new || query->unreachable)
        return is_new;
    /* A next try that is further away than any could be set means that the clock was set back,
     * or that hub.poll was longer then. */
    const int64_t longest_ms = (int64_t)query->config->hub.poll_ms;
    const int64_t wait_ms = pull->next_try_at_ms - query->now_ms;
    return wait_ms <= 0 || wait_ms > longest_ms + longest_ms / 8 ||
           (query->fresh && pull->failures > 0);
}

/* Adds the guest to *due if its configuration is due. Deletes what was pulled for a guest that
 * has no customer any more. */
static int due_pulls_consider(struct store *store, const struct due_query *query, uint32_t vmid,
                              const struct enrolment *enrolment, struct due_pulls *due,
                              struct error *error)
{
    struct hub_pull pull;
    uint8_t origin[DIGEST_BYTES];
    if (hub_pull_get(store, vmid, &pull, error) < 0)
        return -1;
    if (!hub_origin(query->config->hub.url, enrolment, origin))
        return pull.vmid ? hub_config_forget(store, vmid, error) : 0;
    if (memcmp(pull.origin, origin, sizeof origin) != 0) {
        pull = (struct hub_pull){.vmid = vmid};
        memcpy(pull.origin, origin, sizeof origin);
    }
    if (pull.refused)
        return 0;
    if (pull_is_due(query, &pull))
        due_pulls_add(due, enrolment, &pull);
    else if (pull.next_try_at_ms < due->next_at_ms)
        due->next_at_ms = pull.next_try_at_ms;
    return 0;
}

static int due_pulls_look_at(struct store *store, const struct due_query *query, uint32_t vmid,
                             struct due_pulls *due, struct error *error)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(enrolment_free) struct enrolment enrolment = {0};
    if (guest_get_enrolment(store, vmid, &text, error) < 0)
        return -1;
    /* An enrolment that cannot be parsed was recorded by an older release, because pre-start
     * refuses such enrolments. */
    if (enrolment_parse("enrolment", buffer_text(&text), text.length, &enrolment, error) < 0)
        return 0;
    return due_pulls_consider(store, query, vmid, &enrolment, due, error);
}

static int due_pulls_compare(const void *a, const void *b)
{
    const int64_t left = ((const struct due_pull *)a)->pull.next_try_at_ms;
    const int64_t right = ((const struct due_pull *)b)->pull.next_try_at_ms;
    return (left > right) - (left < right);
}

static int due_pulls_read(struct store *store, const struct due_query *query, struct due_pulls *due,
                          struct error *error)
{
    cleanup(vmids_free) struct vmids vmids = {0};
    if (guest_list(store, &vmids, error) < 0)
        return -1;
    for (size_t i = 0; i < vmids.count; i++)
        if (due_pulls_look_at(store, query, vmids.items[i], due, error) < 0)
            return -1;
    if (due->count > 1)
        qsort(due->items, due->count, sizeof *due->items, due_pulls_compare);
    return 0;
}

static int due_pulls_list(struct hub_puller *puller, const struct due_query *query,
                          struct due_pulls *due)
{
    struct error error;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(puller->stores, &loan, &error) == 0 &&
        due_pulls_read(loan.store, query, due, &error) == 0)
        return 0;
    store_loan_failed(&loan, &error);
    throttled_log_line(&puller->log, LOG_ERR, "hub: cannot read the guests from the store: %s",
                       error.message);
    return -1;
}

/* --- recording what the hub answered --- */

struct pull_record {
    struct store *store; /* a borrowed store: returning it rolls back what was not committed */
    struct throttled_log *log;
    int64_t poll_ms;
    int64_t now_ms;
};

static int pull_add_event(const struct pull_record *record, const struct due_pull *due,
                          const char *outcome, const char *detail, struct error *error)
{
    return event_note(record->store, record->now_ms, due->pull.vmid, EVENT_KIND, outcome, detail,
                      error);
}

static void pull_log(const struct pull_record *record, int priority, const struct due_pull *due,
                     const char *detail)
{
    throttled_log_guest(record->log, priority, due->pull.vmid, EVENT_KIND, "hub: guest %u: %s",
                        due->pull.vmid, detail);
}

/* Records a successful pull; the next one is due after poll_ms. Adds an event and a line in the
 * log if the body differs from the one before; after a failure the line is logged in any case. */
static int pull_record_success(const struct pull_record *record, const struct due_pull *due,
                               const struct buffer *body, struct error *error)
{
    cleanup_buffer struct buffer old = BUFFER_EMPTY;
    cleanup_free char *detail =
        mem_format("configuration of customer %s pulled, %zu bytes", due->customer, body->length);
    struct hub_pull pull = due->pull;
    pull.next_try_at_ms = record->now_ms + record->poll_ms;
    if (store_begin(record->store, error) < 0 ||
        hub_config_get(record->store, pull.vmid, pull.origin, &old, error) < 0 ||
        hub_config_put(record->store, &pull, buffer_text(body), body->length, record->now_ms,
                       error) < 0)
        return -1;
    const bool is_changed = !buffer_equals(&old, body);
    if ((is_changed && pull_add_event(record, due, "ok", detail, error) < 0) ||
        store_commit(record->store, error) < 0)
        return -1;
    if (is_changed || pull.failures > 0)
        pull_log(record, LOG_INFO, due, detail);
    return 0;
}

static char *pull_describe_failure(const struct due_pull *due, const char *problem, bool is_refusal)
{
    if (is_refusal)
        return mem_format("the hub refuses the configuration of customer %s (%s): felhomd "
                          "asks again only once the customer or the password has changed",
                          due->customer, problem);
    return mem_format("the configuration of customer %s could not be pulled: %s", due->customer,
                      problem);
}

/* Records a failure; the next try is due after worker_backoff_ms, up to poll_ms, but after a
 * refusal there is none. Adds an event for a refusal and for the first failure in a row, and a line
 * in the log for each failure that differs from the one before. */
static int pull_record_failure(const struct pull_record *record, const struct due_pull *due,
                               const char *problem, bool is_refusal, struct error *error)
{
    cleanup_buffer struct buffer old = BUFFER_EMPTY;
    cleanup_free char *detail = pull_describe_failure(due, problem, is_refusal);
    struct hub_pull pull = due->pull;
    pull.refused = is_refusal;
    pull.failures++;
    pull.next_try_at_ms = record->now_ms + worker_backoff_ms(pull.failures, record->poll_ms);
    if (hub_config_problem(record->store, pull.vmid, &old, error) < 0 ||
        store_begin(record->store, error) < 0 ||
        hub_config_fail(record->store, &pull, problem, error) < 0)
        return -1;
    if ((pull.failures == 1 || is_refusal) &&
        pull_add_event(record, due, is_refusal ? "error" : "warning", detail, error) < 0)
        return -1;
    if (store_commit(record->store, error) < 0)
        return -1;
    if (pull.failures == 1 || strcmp(buffer_text(&old), problem) != 0)
        pull_log(record, LOG_WARNING, due, detail);
    return 0;
}

/* --- asking the hub --- */

enum pull_verdict { PULL_DONE, PULL_FAILED, PULL_REFUSED, PULL_UNREACHED };

static enum pull_verdict pull_judge_reply(const struct http_reply *reply, struct error *error)
{
    if (reply->status != 200) {
        (void)fail(error, ERROR_SYSTEM, "the hub answered %d", reply->status);
        return reply->status == 401 || reply->status == 404 ? PULL_REFUSED : PULL_FAILED;
    }
    if (hub_config_check(buffer_text(&reply->body), reply->body.length, error) < 0)
        return PULL_FAILED;
    return PULL_DONE;
}

static enum pull_verdict pull_ask(const struct hub_puller *puller, const struct config *config,
                                  const struct due_pull *due, struct http_reply *reply,
                                  struct error *error)
{
    /* These characters need no escaping in a URL, and enrolment_parse accepts no others. */
    if (due->customer[strspn(due->customer, CUSTOMER_CHARS)] != '\0') {
        (void)fail(error, ERROR_INVALID, "the customer's id cannot stand in a URL");
        return PULL_FAILED;
    }
    cleanup_free char *path = mem_format("api/v1/config/%s", due->customer);
    const struct hub_request request = {
        .path = path,
        .credential = "X-Retrieval-Password: ",
        .secret = due->password,
    };
    if (hub_request_perform(puller->client, config, &request, reply, error) == 0)
        return pull_judge_reply(reply, error);
    return error->kind == ERROR_INVALID ? PULL_FAILED : PULL_UNREACHED;
}

static void pull_save(struct hub_puller *puller, const struct config *config,
                      const struct due_pull *due, enum pull_verdict verdict,
                      const struct buffer *body, const char *problem)
{
    struct error error;
    cleanup_store_loan struct store_loan loan = {0};
    int result = store_borrow(puller->stores, &loan, &error);
    const struct pull_record record = {loan.store, &puller->log, (int64_t)config->hub.poll_ms,
                                       clock_wall_ms()};
    if (result == 0)
        result = verdict == PULL_DONE
                     ? pull_record_success(&record, due, body, &error)
                     : pull_record_failure(&record, due, problem, verdict == PULL_REFUSED, &error);
    /* ERROR_MISSING: the guest was removed in the meantime, so there is nothing to record. */
    if (result == 0 || error.kind == ERROR_MISSING)
        return;
    store_loan_failed(&loan, &error);
    throttled_log_guest(&puller->log, LOG_ERR, due->pull.vmid, EVENT_KIND,
                        "hub: cannot save the reply for guest %u: %s", due->pull.vmid,
                        error.message);
}

/* Notes whether the hub was reached; if it was not, sets when to try again. */
static void puller_note_reach(struct hub_puller *puller, const struct config *config,
                              bool is_reached)
{
    const int64_t poll_ms = (int64_t)config->hub.poll_ms;
    puller->unreached = is_reached ? 0 : puller->unreached + 1;
    puller->reach_at_us = 0;
    if (!is_reached)
        puller->reach_at_us =
            clock_steady_us() + worker_backoff_ms(puller->unreached, poll_ms) * 1000;
}

/* Asks the hub for one guest and records the reply. False if the turn should end: the hub cannot
 * be reached, or felhomd is stopping. */
static bool pull_guest(struct hub_puller *puller, const struct config *config,
                       const struct due_pull *due)
{
    struct error error;
    cleanup_http_reply struct http_reply reply = {0};
    const enum pull_verdict verdict = pull_ask(puller, config, due, &reply, &error);
    if (atomic_load(puller->stopping))
        return false; /* the stop makes requests fail */
    pull_save(puller, config, due, verdict, &reply.body, error.message);
    puller_note_reach(puller, config, verdict != PULL_UNREACHED);
    return verdict != PULL_UNREACHED;
}

/* --- a turn --- */

static int64_t puller_next_work_us(const struct hub_puller *puller, const struct due_query *query,
                                   const struct due_pulls *due, int64_t now_us)
{
    if (puller->reach_at_us > now_us)
        return puller->reach_at_us;
    if (due->count > 0)
        return now_us; /* more guests may be due */
    if (due->next_at_ms == INT64_MAX)
        return INT64_MAX;
    return now_us + (due->next_at_ms - query->now_ms) * 1000;
}

static int64_t puller_next_turn_us(const struct hub_puller *puller, const struct due_query *query,
                                   const struct due_pulls *due)
{
    const int64_t now_us = clock_steady_us();
    const int64_t soonest_us = puller->looked_at_us + LOOK_PAUSE_US;
    int64_t at_us = puller_next_work_us(puller, query, due, now_us);
    if (at_us > now_us + LOOK_EVERY_US)
        at_us = now_us + LOOK_EVERY_US;
    return at_us > soonest_us ? at_us : soonest_us;
}

int64_t hub_pull_turn(struct hub_puller *puller, const struct config *config, bool fresh)
{
    const int64_t now_us = clock_steady_us();
    cleanup(due_pulls_free) struct due_pulls due = {.next_at_ms = INT64_MAX};
    if (fresh)
        puller_note_reach(puller, config, true);
    else if (now_us < puller->looked_at_us + LOOK_PAUSE_US)
        return puller->looked_at_us + LOOK_PAUSE_US;
    const struct due_query query = {
        .config = config,
        .now_ms = clock_wall_ms(),
        .unreachable = now_us < puller->reach_at_us,
        .fresh = fresh,
    };
    puller->looked_at_us = now_us;
    if (due_pulls_list(puller, &query, &due) < 0) {
        due_pulls_free(&due);
        due = (struct due_pulls){.next_at_ms = INT64_MAX};
    }
    const int64_t end_us = clock_steady_us() + ROUND_US;
    for (size_t i = 0; i < due.count && clock_steady_us() < end_us; i++)
        if (!pull_guest(puller, config, &due.items[i]))
            break;
    return puller_next_turn_us(puller, &query, &due);
}
