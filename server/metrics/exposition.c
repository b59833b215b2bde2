/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of the metrics. exposition_write makes it anew for each request: first the figures of
 * felhomd itself, then what the store holds, if a store can be borrowed, then the phases of the
 * hooks.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "schema/agent/metrics_text.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/version.h"
#include "server/api/route.h"
#include "server/base/context.h"
#include "server/base/lock.h"
#include "server/events/waiters.h"
#include "server/jobs/snapshot_lists.h"
#include "server/metrics/metrics.h"
#include "server/net/gate.h"
#include "server/registry/registry.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/db/store.h"
#include "store/tables/event.h"
#include "store/tables/statistics.h"

/* A gauge of one sample, in seconds. */
static void exposition_write_seconds(struct buffer *out, const char *name, const char *help,
                                     int64_t ms)
{
    metrics_text_family(out, name, METRIC_GAUGE, help);
    metrics_text_seconds(out, name, METRIC_NO_LABELS, ms * 1000);
}

/* --- the hooks' phases --- */

#define EVENTS_AT_ONCE 1000

static const char *const hook_phases[] = {"pre-start", "post-start", "pre-stop", "post-stop"};
static const char *const hook_outcomes[] = {"ok", "warning", "error"};
static const int64_t hook_bounds_us[] = {2500,   5000,   10000,   25000,  50000,
                                         100000, 500000, 1000000, 5000000};

_Static_assert(ARRAY_SIZE(hook_phases) == HOOK_PHASES, "counters for each");
_Static_assert(ARRAY_SIZE(hook_outcomes) == HOOK_OUTCOMES, "a counter for each");
_Static_assert(ARRAY_SIZE(hook_bounds_us) == HOOK_BOUNDS, "a counter for each");

/* Returns the index of the text among the names; count if it is none of them. */
static size_t hook_index(const char *text, const char *const *names, size_t count)
{
    size_t index = 0;
    while (index < count && strcmp(names[index], text) != 0)
        index++;
    return index;
}

static int hook_count_event(const struct event *event, void *context)
{
    struct hook_counters *counters = context;
    const size_t phase = hook_index(event->kind, hook_phases, HOOK_PHASES);
    const size_t outcome = hook_index(event->outcome, hook_outcomes, HOOK_OUTCOMES);
    counters->seen = event->seq;
    if (phase == HOOK_PHASES || outcome == HOOK_OUTCOMES)
        return 0;
    counters->phases[phase].outcomes[outcome]++;
    if (event->duration_us < 0)
        return 0;
    size_t bucket = 0;
    while (bucket < HOOK_BOUNDS && event->duration_us > hook_bounds_us[bucket])
        bucket++;
    counters->phases[phase].durations[bucket]++;
    counters->phases[phase].sum_us += event->duration_us;
    return 0;
}

static int hook_count_new(struct hook_counters *counters, struct store *store, struct error *error)
{
    int64_t newest;
    int64_t before;
    if (event_newest(store, &newest, error) < 0)
        return -1;
    /* A number that is lower than before means another store. */
    if (!counters->begun || newest < counters->seen)
        counters->seen = newest;
    counters->begun = true;
    do {
        before = counters->seen;
        if (event_each(store, 0, before, EVENTS_AT_ONCE, hook_count_event, counters, error) < 0)
            return -1;
    } while (counters->seen > before);
    return 0;
}

int hook_counters_catch_up(struct hook_counters *counters, struct store *store, struct error *error)
{
    lock_scope(&counters->lock);
    return hook_count_new(counters, store, error);
}

static void hook_write_counts(const struct hook_counters *counters, struct buffer *out)
{
    static const char name[] = "felhom_hook_phases_total";
    metrics_text_family(out, name, METRIC_COUNTER,
                        "Phases of guests that felhom-hook reacted to, as recorded in the store.");
    for (size_t i = 0; i < HOOK_PHASES; i++)
        for (size_t j = 0; j < HOOK_OUTCOMES; j++)
            metrics_text_sample(
                out, name, metric_labels({"phase", hook_phases[i]}, {"outcome", hook_outcomes[j]}),
                (int64_t)counters->phases[i].outcomes[j]);
}

static void hook_write_durations(const struct hook_counters *counters, struct buffer *out)
{
    static const char name[] = "felhom_hook_phase_duration_seconds";
    metrics_text_family(out, name, METRIC_HISTOGRAM, "How long felhom-hook took for a phase.");
    for (size_t i = 0; i < HOOK_PHASES; i++) {
        const struct metric_histogram histogram = {
            .bounds_us = hook_bounds_us,
            .bound_count = HOOK_BOUNDS,
            .counts = counters->phases[i].durations,
            .sum_us = counters->phases[i].sum_us,
        };
        metrics_text_histogram(out, name, metric_labels({"phase", hook_phases[i]}), &histogram);
    }
}

void hook_counters_write(struct hook_counters *counters, struct buffer *out)
{
    lock_scope(&counters->lock);
    hook_write_counts(counters, out);
    hook_write_durations(counters, out);
}

/* --- what the store holds: tokens, jobs, its size --- */

static int exposition_write_tokens(struct store *store, int64_t now_ms, struct buffer *out,
                                   struct error *error)
{
    static const char name[] = "felhom_tokens";
    struct statistics_tokens tokens;
    if (statistics_tokens(store, now_ms, &tokens, error) < 0)
        return -1;
    metrics_text_family(out, name, METRIC_GAUGE, "Tokens that the store keeps.");
    metrics_text_sample(out, name, metric_labels({"state", "good"}), tokens.good);
    metrics_text_sample(out, name, metric_labels({"state", "expired"}), tokens.expired);
    metrics_text_sample(out, name, metric_labels({"state", "revoked"}), tokens.revoked);
    return 0;
}

static int exposition_write_jobs(struct store *store, struct buffer *out, struct error *error)
{
    static const char name[] = "felhom_jobs";
    struct statistics_jobs jobs;
    if (statistics_jobs(store, &jobs, error) < 0)
        return -1;
    metrics_text_family(out, name, METRIC_GAUGE,
                        "Jobs that the store keeps: of each guest and kind the newest hundred.");
    for (enum job_kind kind = JOB_SNAPSHOT; kind <= JOB_BACKUP; kind++)
        for (enum job_phase phase = JOB_RUNNING; phase <= JOB_FAILED; phase++)
            metrics_text_sample(
                out, name,
                metric_labels({"kind", job_kind_names[kind]}, {"phase", job_phase_names[phase]}),
                jobs.count[kind][phase]);
    return 0;
}

static void exposition_write_size(const struct store *store, struct buffer *out)
{
    static const char name[] = "felhom_store_size_bytes";
    metrics_text_family(out, name, METRIC_GAUGE, "The database and its write-ahead log on disk.");
    metrics_text_sample(out, name, METRIC_NO_LABELS, statistics_bytes(store));
}

/* --- what the store holds: guests, with the age of what they have --- */

#define GUEST_ID_SIZE 16 /* "qemu/4294967295" */

enum guest_family {
    GUEST_INFO,
    GUEST_UP,
    GUEST_TOKEN_AGE,
    GUEST_BACKUP_AGE,
    GUEST_TEST_PASSED,
    GUEST_TEST_AGE,
    GUEST_FAMILIES,
};

static const struct {
    const char *name;
    const char *help;
} guest_families[GUEST_FAMILIES] = {
    [GUEST_INFO] = {"felhom_guest_info",
                    "A guest that the agent serves, with its name and state; always 1."},
    [GUEST_UP] = {"felhom_guest_up",
                  "Whether the guest runs, by what its hook was last called for."},
    [GUEST_TOKEN_AGE] = {"felhom_guest_token_age_seconds",
                         "How long ago the guest's newest good token was made."},
    [GUEST_BACKUP_AGE] = {"felhom_guest_backup_age_seconds",
                          "How long ago the guest's newest backup was made."},
    [GUEST_TEST_PASSED] = {"felhom_guest_restore_test_passed",
                           "Whether the last restore test of the guest's backups succeeded."},
    [GUEST_TEST_AGE] = {"felhom_guest_restore_test_age_seconds", "How long ago that test ended."},
};

/* The samples of a family must stand together, so each family has a text of its own until all
 * guests were read. */
struct guest_texts {
    int64_t now_ms;
    struct buffer texts[GUEST_FAMILIES];
};

static void guest_texts_add(struct guest_texts *texts, enum guest_family family, const char *id,
                            int64_t value)
{
    metrics_text_sample(&texts->texts[family], guest_families[family].name,
                        metric_labels({"id", id}), value);
}

static void guest_texts_add_age(struct guest_texts *texts, enum guest_family family, const char *id,
                                int64_t at_ms)
{
    if (at_ms != STATISTICS_NEVER)
        metrics_text_seconds(&texts->texts[family], guest_families[family].name,
                             metric_labels({"id", id}), (texts->now_ms - at_ms) * 1000);
}

static int guest_texts_add_guest(const struct statistics_guest *guest, void *context)
{
    char id[GUEST_ID_SIZE];
    struct guest_texts *texts = context;
    (void)snprintf(id, sizeof id, "%s/%u", guest_kind_names[guest->kind], guest->vmid);
    metrics_text_sample(&texts->texts[GUEST_INFO], guest_families[GUEST_INFO].name,
                        metric_labels({"id", id}, {"name", guest->name},
                                      {"state", guest_state_names[guest->state]}),
                        1);
    guest_texts_add(texts, GUEST_UP, id, guest->state == GUEST_RUNNING);
    guest_texts_add_age(texts, GUEST_TOKEN_AGE, id, guest->token_at_ms);
    guest_texts_add_age(texts, GUEST_BACKUP_AGE, id, guest->backup_at_ms);
    guest_texts_add_age(texts, GUEST_TEST_AGE, id, guest->tested_at_ms);
    if (guest->tested_at_ms != STATISTICS_NEVER)
        guest_texts_add(texts, GUEST_TEST_PASSED, id, guest->test_passed);
    return 0;
}

static int exposition_write_guests(struct store *store, int64_t now_ms, struct buffer *out,
                                   struct error *error)
{
    struct guest_texts texts = {.now_ms = now_ms};
    for (size_t i = 0; i < GUEST_FAMILIES; i++)
        metrics_text_family(&texts.texts[i], guest_families[i].name, METRIC_GAUGE,
                            guest_families[i].help);
    int result = statistics_guests(store, now_ms, guest_texts_add_guest, &texts, error);
    for (size_t i = 0; i < GUEST_FAMILIES; i++) {
        buffer_add_text(out, buffer_text(&texts.texts[i]));
        buffer_free(&texts.texts[i]);
    }
    return result;
}

/* Adds what the store holds. After a failure the text is incomplete. */
static int exposition_write_stored(struct store *store, int64_t now_ms, struct buffer *out,
                                   struct error *error)
{
    if (exposition_write_tokens(store, now_ms, out, error) < 0 ||
        exposition_write_jobs(store, out, error) < 0)
        return -1;
    exposition_write_size(store, out);
    return exposition_write_guests(store, now_ms, out, error);
}

/* --- felhomd itself --- */

static int64_t counter_read(const counter *count)
{
    return (int64_t)atomic_load_explicit(count, memory_order_relaxed);
}

static void exposition_write_self(const struct exposition *exposition, struct buffer *out)
{
    metrics_text_family(out, "felhom_build_info", METRIC_GAUGE, "Which felhomd this is; always 1.");
    metrics_text_sample(out, "felhom_build_info", metric_labels({"version", FELHOM_VERSION}), 1);
    exposition_write_seconds(out, "felhom_start_time_seconds",
                             "When felhomd was started, in seconds since 1970.",
                             exposition->started_ms);
    exposition_write_seconds(out, "felhom_time_seconds",
                             "When these figures were taken, in seconds since 1970.",
                             clock_wall_ms());
}

static void exposition_write_config(const struct config *config, struct buffer *out)
{
    exposition_write_seconds(out, "felhom_token_max_age_seconds",
                             "How old a token may get by the settings; 0: as old as it likes.",
                             (int64_t)config->token.max_age_ms);
    exposition_write_seconds(out, "felhom_backup_max_age_seconds",
                             "How old the last backup may get by the settings before one is due.",
                             (int64_t)config->backup.max_age_ms);
}

/* Writes only the combinations that have occurred, because there are many. */
static void exposition_write_requests(const struct counters *counters, struct buffer *out)
{
    static const char name[] = "felhom_requests_total";
    metrics_text_family(out, name, METRIC_COUNTER, "Requests of guests that were answered.");
    for (size_t i = 0; i <= ROUTE_COUNT; i++) {
        for (size_t j = 0; j < COUNTERS_STATUSES; j++) {
            int64_t count = counter_read(&counters->requests[i][j]);
            if (count > 0)
                metrics_text_sample(
                    out, name,
                    metric_labels({"endpoint", route_path(i)}, {"code", counters_status_name(j)}),
                    count);
        }
    }
}

static void exposition_write_refusals(const struct counters *counters, struct buffer *out)
{
    static const char name[] = "felhom_refusals_total";
    metrics_text_family(out, name, METRIC_COUNTER,
                        "Requests, and connections before TLS, that were refused.");
    for (enum refusal_reason reason = 0; reason < REFUSAL_REASONS; reason++)
        metrics_text_sample(out, name, metric_labels({"reason", refusal_reason_name(reason)}),
                            counter_read(&counters->refusals[reason]));
}

static void exposition_write_handshakes(const struct counters *counters, struct buffer *out)
{
    static const char name[] = "felhom_tls_handshake_failures_total";
    metrics_text_family(out, name, METRIC_COUNTER, "TLS handshakes that came to nothing.");
    for (size_t i = 0; i < HANDSHAKE_FAILURES; i++)
        metrics_text_sample(
            out, name, metric_labels({"reason", handshake_failure_name((enum handshake_failure)i)}),
            counter_read(&counters->handshakes[i]));
}

static void exposition_write_connections(struct context *context, struct buffer *out)
{
    static const char name[] = "felhom_connections";
    metrics_text_family(out, name, METRIC_GAUGE,
                        "Connections now: held by a thread, or waiting for an event without one.");
    metrics_text_sample(out, name, metric_labels({"state", "active"}),
                        gate_connections(context->gate));
    metrics_text_sample(out, name, metric_labels({"state", "waiting"}),
                        waiters_count(context->waiters));
}

static void exposition_write_calls(const struct counters *counters, struct buffer *out)
{
    static const char name[] = "felhom_outside_calls_total";
    const struct {
        const char *peer;
        const struct call_counters *calls;
    } all[] = {{"proxmox", &counters->proxmox},
               {"hub", &counters->hub},
               {"registry", &counters->registry}};
    metrics_text_family(out, name, METRIC_COUNTER,
                        "Calls beyond the host: answered, refused (an HTTP error) or failed.");
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        for (size_t j = 0; j < CALL_OUTCOMES; j++)
            metrics_text_sample(out, name,
                                metric_labels({"peer", all[i].peer},
                                              {"outcome", call_outcome_name((enum call_outcome)j)}),
                                counter_read(&all[i].calls->count[j]));
}

static void exposition_write_turns(struct context *context, struct buffer *out)
{
    static const char name[] = "felhom_waiting_requests";
    metrics_text_family(out, name, METRIC_GAUGE,
                        "Guests' requests that wait until it is their turn to have one asked.");
    metrics_text_sample(out, name, metric_labels({"peer", "proxmox"}),
                        snapshot_lists_waiting(context->snapshots));
    metrics_text_sample(out, name, metric_labels({"peer", "registry"}),
                        registry_waiting(context->registry));
}

/* Adds all that the store holds; if any of it cannot be read, nothing. */
static bool exposition_read_store(struct exposition *exposition, struct buffer *out)
{
    struct error error;
    struct context *context = exposition->context;
    cleanup_buffer struct buffer stored = BUFFER_EMPTY;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(context->stores, &loan, &error) < 0 ||
        hook_counters_catch_up(&exposition->hooks, loan.store, &error) < 0 ||
        exposition_write_stored(loan.store, clock_wall_ms(), &stored, &error) < 0) {
        throttled_log_line(&context->log, LOG_WARNING, "metrics: cannot read the store: %s",
                           error.message);
        store_loan_failed(&loan, &error);
        return false;
    }
    buffer_add(out, stored.data, stored.length);
    return true;
}

static void exposition_write_store(struct exposition *exposition, struct buffer *out)
{
    bool up = exposition_read_store(exposition, out);
    metrics_text_family(out, "felhom_store_up", METRIC_GAUGE, "Whether the store could be read.");
    metrics_text_sample(out, "felhom_store_up", METRIC_NO_LABELS, up);
    hook_counters_write(&exposition->hooks, out);
}

void exposition_write(struct exposition *exposition, struct buffer *out)
{
    struct context *context = exposition->context;
    cleanup_server_config struct server_config *current = context_config(context);
    exposition_write_self(exposition, out);
    exposition_write_config(&current->config, out);
    exposition_write_requests(&context->counters, out);
    exposition_write_refusals(&context->counters, out);
    exposition_write_handshakes(&context->counters, out);
    exposition_write_connections(context, out);
    exposition_write_turns(context, out);
    exposition_write_calls(&context->counters, out);
    exposition_write_store(exposition, out);
}
