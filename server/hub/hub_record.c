/* SPDX-License-Identifier: Apache-2.0 */
#include "server/hub/hub_record.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "server/base/worker.h"
#include "store/base/log.h"
#include "store/tables/event.h"

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

int hub_record_success(const struct hub_record *record, const struct hub_errand *errand,
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
    pull.next_try_at_ms = record->now_ms + backoff_ms(pull.failures, record->poll_ms);
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

int hub_record_failure(const struct hub_record *record, const struct hub_errand *errand,
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
