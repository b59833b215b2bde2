/* SPDX-License-Identifier: Apache-2.0 */
#include "server/metrics/exposition_store.h"

#include <stdio.h>

#include "schema/agent/metrics_text.h"
#include "store/tables/statistics.h"

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

int exposition_store(struct store *store, int64_t now_ms, struct buffer *out, struct error *error)
{
    if (describe_tokens(store, now_ms, out, error) < 0 || describe_jobs(store, out, error) < 0)
        return -1;
    describe_size(store, out);
    return describe_guests(store, now_ms, out, error);
}
