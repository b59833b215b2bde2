/* SPDX-License-Identifier: Apache-2.0 */
#include "server/metrics/exposition.h"

#include <stdint.h>
#include <stdio.h>

#include "schema/agent/metrics_text.h"
#include "schema/base/buffer.h"
#include "schema/base/version.h"
#include "server/api/route.h"
#include "server/base/context.h"
#include "server/events/waiters.h"
#include "server/metrics/hook_tally.h"
#include "server/net/gate.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/db/store.h"
#include "store/tables/statistics.h"

/* What the store holds, as metrics: tokens, jobs, and each guest with the age of what it has. */

/* "qemu/4294967295" */
#define ID_SIZE 16

static int describe_tokens(struct store *store, int64_t now_ms, struct buffer *out,
                           struct error *error)
{
    static const char name[] = "felhom_tokens";
    struct census_tokens tokens;
    if (census_tokens(store, now_ms, &tokens, error) < 0)
        return -1;
    metrics_text_family(out, name, METRIC_GAUGE, "Tokens that the store keeps.");
    metrics_text_sample(out, name, metric_labels({"state", "good"}), tokens.good);
    metrics_text_sample(out, name, metric_labels({"state", "expired"}), tokens.expired);
    metrics_text_sample(out, name, metric_labels({"state", "revoked"}), tokens.revoked);
    return 0;
}

static void describe_jobs_of(enum job_kind kind, const struct census_jobs *jobs, const char *name,
                             struct buffer *out)
{
    for (enum job_phase phase = JOB_RUNNING; phase <= JOB_FAILED; phase++)
        metrics_text_sample(
            out, name,
            metric_labels({"kind", job_kind_name(kind)}, {"phase", job_phase_name(phase)}),
            jobs->count[kind][phase]);
}

static int describe_jobs(struct store *store, struct buffer *out, struct error *error)
{
    static const char name[] = "felhom_jobs";
    struct census_jobs jobs;
    if (census_jobs(store, &jobs, error) < 0)
        return -1;
    metrics_text_family(out, name, METRIC_GAUGE,
                        "Jobs that the store keeps: of each guest and kind the newest hundred.");
    for (enum job_kind kind = JOB_SNAPSHOT; kind <= JOB_BACKUP; kind++)
        describe_jobs_of(kind, &jobs, name, out);
    return 0;
}

static void describe_size(const struct store *store, struct buffer *out)
{
    metrics_text_family(out, "felhom_store_size_bytes", METRIC_GAUGE,
                        "The database and its write-ahead log on disk.");
    metrics_text_sample(out, "felhom_store_size_bytes", METRIC_NO_LABELS, census_bytes(store));
}

/* --- guests --- */

/* A family has to stand together, so each has a text of its own until all guests were seen. */
struct families {
    int64_t now_ms;
    struct buffer info;
    struct buffer up;
    struct buffer token;
    struct buffer backup;
    struct buffer test;
    struct buffer test_age;
};

static void families_begin(struct families *families)
{
    metrics_text_family(&families->info, "felhom_guest_info", METRIC_GAUGE,
                        "A guest that the agent serves, with its name and state; always 1.");
    metrics_text_family(&families->up, "felhom_guest_up", METRIC_GAUGE,
                        "Whether the guest runs, by what its hook was last called for.");
    metrics_text_family(&families->token, "felhom_guest_token_age_seconds", METRIC_GAUGE,
                        "How long ago the guest's newest good token was made.");
    metrics_text_family(&families->backup, "felhom_guest_backup_age_seconds", METRIC_GAUGE,
                        "How long ago the guest's newest backup was made.");
    metrics_text_family(&families->test, "felhom_guest_restore_test_passed", METRIC_GAUGE,
                        "Whether the last restore test of the guest's backups succeeded.");
    metrics_text_family(&families->test_age, "felhom_guest_restore_test_age_seconds", METRIC_GAUGE,
                        "How long ago that test ended.");
}

static void families_end(struct families *families, struct buffer *out)
{
    struct buffer *const all[] = {&families->info,   &families->up,   &families->token,
                                  &families->backup, &families->test, &families->test_age};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        buffer_add_text(out, buffer_text(all[i]));
        buffer_free(all[i]);
    }
}

static void add_age(struct buffer *out, const char *name, const char *id, int64_t at_ms,
                    int64_t now_ms)
{
    if (at_ms != CENSUS_NEVER)
        metrics_text_seconds(out, name, metric_labels({"id", id}), (now_ms - at_ms) * 1000);
}

static int describe_guest(const struct census_guest *guest, void *context)
{
    char id[ID_SIZE];
    struct families *families = context;
    int64_t now_ms = families->now_ms;
    (void)snprintf(id, sizeof id, "%s/%u", guest_kind_name(guest->kind), guest->vmid);
    metrics_text_sample(
        &families->info, "felhom_guest_info",
        metric_labels({"id", id}, {"name", guest->name}, {"state", guest_state_name(guest->state)}),
        1);
    metrics_text_sample(&families->up, "felhom_guest_up", metric_labels({"id", id}),
                        guest->state == GUEST_RUNNING);
    add_age(&families->token, "felhom_guest_token_age_seconds", id, guest->token_at_ms, now_ms);
    add_age(&families->backup, "felhom_guest_backup_age_seconds", id, guest->backup_at_ms, now_ms);
    add_age(&families->test_age, "felhom_guest_restore_test_age_seconds", id, guest->tested_at_ms,
            now_ms);
    if (guest->tested_at_ms != CENSUS_NEVER)
        metrics_text_sample(&families->test, "felhom_guest_restore_test_passed",
                            metric_labels({"id", id}), guest->test_passed);
    return 0;
}

static int describe_guests(struct store *store, int64_t now_ms, struct buffer *out,
                           struct error *error)
{
    struct families families = {.now_ms = now_ms};
    families_begin(&families);
    int result = census_guests(store, now_ms, describe_guest, &families, error);
    families_end(&families, out);
    return result;
}

/* Adds it; after a failure it is not whole. */
static int exposition_store(struct store *store, int64_t now_ms, struct buffer *out,
                            struct error *error)
{
    if (describe_tokens(store, now_ms, out, error) < 0 || describe_jobs(store, out, error) < 0)
        return -1;
    describe_size(store, out);
    return describe_guests(store, now_ms, out, error);
}

static int64_t read_count(const counter *count)
{
    return (int64_t)atomic_load_explicit(count, memory_order_relaxed);
}

static void describe_self(const struct exposition *exposition, struct buffer *out)
{
    metrics_text_family(out, "felhom_build_info", METRIC_GAUGE, "Which felhomd this is; always 1.");
    metrics_text_sample(out, "felhom_build_info", metric_labels({"version", FELHOM_VERSION}), 1);
    metrics_text_family(out, "felhom_start_time_seconds", METRIC_GAUGE,
                        "When felhomd was started, in seconds since 1970.");
    metrics_text_seconds(out, "felhom_start_time_seconds", METRIC_NO_LABELS,
                         exposition->started_ms * 1000);
    metrics_text_family(out, "felhom_time_seconds", METRIC_GAUGE,
                        "When these figures were taken, in seconds since 1970.");
    metrics_text_seconds(out, "felhom_time_seconds", METRIC_NO_LABELS, clock_wall_ms() * 1000);
}

static void describe_settings(const struct config *config, struct buffer *out)
{
    metrics_text_family(out, "felhom_token_max_age_seconds", METRIC_GAUGE,
                        "How old a token may get by the settings; 0: as old as it likes.");
    metrics_text_seconds(out, "felhom_token_max_age_seconds", METRIC_NO_LABELS,
                         (int64_t)config->token.max_age_ms * 1000);
    metrics_text_family(out, "felhom_backup_max_age_seconds", METRIC_GAUGE,
                        "How old the last backup may get by the settings before one is due.");
    metrics_text_seconds(out, "felhom_backup_max_age_seconds", METRIC_NO_LABELS,
                         (int64_t)config->backup.max_age_ms * 1000);
}

/* Of so many combinations only those that have occurred. */
static void describe_requests(const struct counters *counters, struct buffer *out)
{
    static const char name[] = "felhom_requests_total";
    metrics_text_family(out, name, METRIC_COUNTER, "Requests of guests that were answered.");
    for (size_t i = 0; i <= ROUTE_COUNT; i++) {
        for (size_t j = 0; j < COUNTERS_STATUSES; j++) {
            int64_t count = read_count(&counters->requests[i][j]);
            if (count > 0)
                metrics_text_sample(
                    out, name,
                    metric_labels({"endpoint", route_path(i)}, {"code", counters_status_name(j)}),
                    count);
        }
    }
}

static void describe_refusals(const struct counters *counters, struct buffer *out)
{
    static const char name[] = "felhom_refusals_total";
    metrics_text_family(out, name, METRIC_COUNTER,
                        "Requests, and connections before TLS, that were refused.");
    for (size_t i = 0; i < REFUSAL_REASONS; i++)
        metrics_text_sample(out, name, metric_labels({"reason", refusal_reason_name(i)}),
                            read_count(&counters->refusals[i]));
}

static void describe_handshakes(const struct counters *counters, struct buffer *out)
{
    static const char name[] = "felhom_tls_handshake_failures_total";
    metrics_text_family(out, name, METRIC_COUNTER, "TLS handshakes that came to nothing.");
    for (size_t i = 0; i < HANDSHAKE_FAILURES; i++)
        metrics_text_sample(
            out, name, metric_labels({"reason", handshake_failure_name((enum handshake_failure)i)}),
            read_count(&counters->handshakes[i]));
}

static void describe_connections(struct context *context, struct buffer *out)
{
    static const char name[] = "felhom_connections";
    metrics_text_family(out, name, METRIC_GAUGE,
                        "Connections now: held by a thread, or waiting for an event without one.");
    metrics_text_sample(out, name, metric_labels({"state", "active"}),
                        gate_connections(context->gate));
    metrics_text_sample(out, name, metric_labels({"state", "waiting"}),
                        waiters_count(context->waiters));
}

static void describe_calls(const struct counters *counters, struct buffer *out)
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
                                read_count(&all[i].calls->count[j]));
}

/* All of what the store holds, or nothing of it. */
static bool read_store(const struct exposition *exposition, struct buffer *out)
{
    struct error error;
    struct context *context = exposition->context;
    cleanup_buffer struct buffer stored = BUFFER_EMPTY;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(context->stores, &loan, &error) < 0 ||
        hook_tally_catch_up(exposition->hooks, loan.store, &error) < 0 ||
        exposition_store(loan.store, clock_wall_ms(), &stored, &error) < 0) {
        throttled_log_line(&context->log, LOG_WARNING, "the store has no metrics: %s",
                           error.message);
        store_loan_failed(&loan, &error);
        return false;
    }
    buffer_add(out, stored.data, stored.length);
    return true;
}

static void describe_store(const struct exposition *exposition, struct buffer *out)
{
    bool up = read_store(exposition, out);
    metrics_text_family(out, "felhom_store_up", METRIC_GAUGE, "Whether the store could be read.");
    metrics_text_sample(out, "felhom_store_up", METRIC_NO_LABELS, up);
    hook_tally_describe(exposition->hooks, out);
}

void exposition_write(const struct exposition *exposition, struct buffer *out)
{
    struct context *context = exposition->context;
    cleanup_server_config struct server_config *current = context_config(context);
    describe_self(exposition, out);
    describe_settings(&current->config, out);
    describe_requests(&context->counters, out);
    describe_refusals(&context->counters, out);
    describe_handshakes(&context->counters, out);
    describe_connections(context, out);
    describe_calls(&context->counters, out);
    describe_store(exposition, out);
}
