/* SPDX-License-Identifier: Apache-2.0 */
#include "server/hub/hub.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/agent/enrolment.h"
#include "schema/base/cleanup.h"
#include "schema/base/mbedtls.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/version.h"
#include "schema/json/json.h"
#include "server/base/context.h"
#include "server/base/host_figures.h"
#include "server/base/worker.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/files/config_file.h"
#include "store/host/host.h"
#include "store/tables/guest.h"
#include "store/tables/job.h"

#define TIMEOUT_MS  20000
#define REPLY_LIMIT ((size_t)1 << 20)
#define SCHEMA      "felhom.host-report/v1"
#define REAL_DIGITS 15 /* all that a double holds exactly: 12.3 is not 12.300000000000001 */

/* --- a request --- */

int hub_request_perform(struct http_client *client, const struct config *config,
                        const struct hub_request *request, struct http_reply *ret,
                        struct error *error)
{
    const struct slice base = slice_trim_end(slice_of(config->hub.url), "/");
    cleanup_free char *url = mem_format("%.*s/%s", (int)base.length, base.text, request->path);
    cleanup_buffer struct buffer header = BUFFER_EMPTY;
    const struct buffer *body = request->body;
    buffer_add_text(&header, request->credential);
    buffer_add_text(&header, request->secret);
    const char *const headers[] = {buffer_text(&header), NULL};
    const struct http_request http = {
        .method = body ? "POST" : "GET",
        .url = url,
        .ca_file = config->hub.ca_file,
        .headers = headers,
        .body_type = body ? "application/json" : NULL,
        .body = body ? buffer_text(body) : NULL,
        .body_length = body ? body->length : 0,
        .timeout_ms = TIMEOUT_MS,
        .reply_limit = REPLY_LIMIT,
    };
    return http_client_perform(client, &http, ret, error);
}

/* --- the host's report --- */

/* A list of the report, while it is made from the store. */
struct report_list {
    struct store *store;
    json_t *items;
    int64_t now_ms;
    struct error *error;
};

static int report_append(struct report_list *list, json_t *item)
{
    json_append(list->items, item);
    return 0;
}

/* --- the report: guests --- */

/* A guest that is starting is neither running nor stopped yet; one that is stopping still runs. */
static const char *const status_names[] = {
    [GUEST_STARTING] = "unknown",
    [GUEST_RUNNING] = "running",
    [GUEST_STOPPING] = "running",
    [GUEST_STOPPED] = "stopped",
};

/* Finds the customer in the enrolment of the guest; null if the enrolment cannot be parsed. */
static int report_customer(struct report_list *list, uint32_t vmid, json_t **ret)
{
    struct error ignored;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(enrolment_free) struct enrolment enrolment = {0};
    if (guest_get_enrolment(list->store, vmid, &text, list->error) < 0)
        return -1;
    bool is_read =
        enrolment_parse("enrolment", buffer_text(&text), text.length, &enrolment, &ignored) == 0;
    *ret = is_read ? json_text_or_null(enrolment.customer_id) : json_null();
    return 0;
}

static int report_add_guest(const struct guest *guest, void *context)
{
    struct report_list *list = context;
    json_t *customer;
    if (report_customer(list, guest->vmid, &customer) < 0)
        return -1;
    return report_append(list, json_pack("{s:I, s:s, s:o, s:{s:s, s:o, s:o}}",  /**/
                                         "vmid", (json_int_t)guest->vmid,       /**/
                                         "status", status_names[guest->state],  /**/
                                         "customer", customer,                  /**/
                                         "spec",                                /**/
                                         "kind", guest_kind_names[guest->kind], /**/
                                         "name", json_text(guest->name),        /**/
                                         "mount_form", json_text_or_null(guest->mount_form)));
}

/* --- backups and restore tests --- */

static json_t *report_age_seconds(int64_t at_ms, int64_t now_ms)
{
    if (at_ms <= 0)
        return json_null();
    return json_integer(now_ms > at_ms ? (now_ms - at_ms) / 1000 : 0);
}

static int report_add_backup(const struct guest *guest, void *context)
{
    struct report_list *list = context;
    struct job job;
    struct backup backup;
    if (job_newest(list->store, guest->vmid, JOB_BACKUP, &job, list->error) < 0 ||
        backup_get(list->store, guest->vmid, &backup, list->error) < 0)
        return -1;
    return report_append(
        list, json_pack("{s:I, s:s, s:o, s:o, s:o, s:o}",                              /**/
                        "vmid", (json_int_t)guest->vmid,                               /**/
                        "phase", job.job_id ? job_phase_names[job.phase] : "idle",     /**/
                        "at", json_time(backup.at_ms),                                 /**/
                        "archive", json_text_or_null(backup.archive),                  /**/
                        "age_seconds", report_age_seconds(backup.at_ms, list->now_ms), /**/
                        "error", job.phase == JOB_FAILED ? json_text(job.error) : json_null()));
}

/* While a test runs, passed and at are null. */
static int report_add_restore_test(const struct restore_test *test, void *context)
{
    bool is_finished = test->finished_at_ms != 0;
    return report_append(context,
                         json_pack("{s:I, s:o, s:o, s:o, s:o}",                            /**/
                                   "vmid", (json_int_t)test->vmid,                         /**/
                                   "passed",                                               /**/
                                   is_finished ? json_boolean(test->passed) : json_null(), /**/
                                   "at", json_time(test->finished_at_ms),                  /**/
                                   "archive", json_text_or_null(test->archive),            /**/
                                   "error", json_text_or_null(test->error)));
}

/* --- storages --- */

static void report_mark_storage(const struct config *config, json_t *storage)
{
    const char *name = json_string_value(json_object_get(storage, "storage"));
    const char *class = config_storage_class(config, name ? name : "");
    bool is_target = name && strcmp(name, config->backup.storage) == 0;
    json_set(storage, "class", json_text(class));
    json_set(storage, "backup_target", json_boolean(is_target));
}

/* Moves the storages out of the figures, because the report has them in a list of its own. */
static json_t *report_take_storages(const struct hub_report_frame *frame)
{
    json_t *storages = json_incref(json_object_get(frame->figures, "storages"));
    (void)json_object_del(frame->figures, "storages");
    for (size_t i = 0; i < json_array_size(storages); i++)
        report_mark_storage(frame->config, json_array_get(storages, i));
    return storages ? storages : json_array();
}

/* --- the whole report --- */

int hub_report_render(struct store *store, const struct hub_report_frame *frame, struct buffer *out,
                      struct error *error)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup_json json_t *guests = json_array();
    cleanup_json json_t *backups = json_array();
    cleanup_json json_t *restore_tests = json_array();
    struct report_list guest_list = {store, guests, frame->now_ms, error};
    struct report_list backup_list = {store, backups, frame->now_ms, error};
    struct report_list test_list = {store, restore_tests, frame->now_ms, error};
    if (guest_each(store, report_add_guest, &guest_list, error) < 0 ||
        guest_each(store, report_add_backup, &backup_list, error) < 0 ||
        restore_test_each(store, report_add_restore_test, &test_list, error) < 0)
        return -1;
    json_t *storages = report_take_storages(frame);
    cleanup_json json_t *report =
        json_pack("{s:s, s:o, s:o, s:s, s:o, s:I, s:O, s:o, s:O, s:O, s:O}", /**/
                  "schema", SCHEMA,                                          /**/
                  "host_id", json_text(frame->host->host_id),                /**/
                  "node", json_text(frame->host->node),                      /**/
                  "agent_version", FELHOM_VERSION,                           /**/
                  "at", json_time(frame->now_ms),                            /**/
                  "poll_seconds", (json_int_t)frame->poll_seconds,           /**/
                  "metrics", frame->figures,                                 /**/
                  "storages", storages,                                      /**/
                  "guests", guests,                                          /**/
                  "backups", backups,                                        /**/
                  "restore_tests", restore_tests);
    if (!report)
        mem_exhausted();
    json_write(report, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS), &text);
    if (text.length > HUB_REPORT_LIMIT)
        return fail(error, ERROR_INVALID, "the host's report is over %zu MiB",
                    HUB_REPORT_LIMIT >> 20);
    buffer_add(out, text.data, text.length);
    return 0;
}

/* --- sending it --- */

static int64_t heartbeat_poll_ms(const struct hub_heartbeat *heartbeat, const struct config *config)
{
    if (heartbeat->poll_seconds > 0)
        return (int64_t)heartbeat->poll_seconds * 1000;
    return (int64_t)config->hub.poll_ms;
}

static int heartbeat_render(struct hub_heartbeat *heartbeat, const struct config *config,
                            struct buffer *out, struct error *error)
{
    struct host host;
    if (store_pool_read_host(heartbeat->stores, &host, error) < 0)
        return -1;
    /* No store is borrowed while the figures are read, because that may have to wait for a file
     * system. */
    cleanup_json json_t *figures = host_figures_describe(heartbeat->figures, config, host.node);
    cleanup_store_loan struct store_loan loan = {0};
    const struct hub_report_frame frame = {
        .config = config,
        .host = &host,
        .figures = figures,
        .poll_seconds = (uint32_t)(heartbeat_poll_ms(heartbeat, config) / 1000),
        .now_ms = clock_wall_ms(),
    };
    if (store_borrow(heartbeat->stores, &loan, error) == 0 &&
        hub_report_render(loan.store, &frame, out, error) == 0)
        return 0;
    return store_loan_failed(&loan, error);
}

static int heartbeat_send(struct hub_heartbeat *heartbeat, const struct config *config,
                          struct hub_reply *ret, struct error *error)
{
    cleanup_buffer struct buffer key = BUFFER_EMPTY;
    cleanup_buffer struct buffer report = BUFFER_EMPTY;
    cleanup_http_reply struct http_reply reply = {0};
    const struct named_file key_file = {"hub.api_key_file", NAMED_KEY, config->hub.api_key_file};
    if (config_file_read_secret(&key_file, &key, error) < 0 ||
        heartbeat_render(heartbeat, config, &report, error) < 0)
        return -1;
    const struct hub_request request = {
        .path = "api/v1/host-report",
        .credential = "Authorization: Bearer ",
        .secret = buffer_text(&key),
        .body = &report,
    };
    if (hub_request_perform(heartbeat->client, config, &request, &reply, error) < 0)
        return -1;
    if (reply.status < 200 || reply.status > 299)
        return fail(error, ERROR_SYSTEM, "the hub answered %d", reply.status);
    if (hub_reply_parse(buffer_text(&reply.body), reply.body.length, ret, error) < 0)
        return fail_context(error, "the hub's answer");
    return 0;
}

static const char *yes_or_no(bool value)
{
    return value ? "yes" : "no";
}

static void heartbeat_log(const struct hub_reply *reply, int64_t wait_ms)
{
    char generation[24] = "none";
    if (reply->desired_generation != HUB_GENERATION_NONE)
        (void)snprintf(generation, sizeof generation, "%" PRId64, reply->desired_generation);
    log_line(LOG_NOTICE,
             "hub: host report sent; next report in %" PRId64
             " s (blocked: %s, desired generation: %s, signed operations: %s)",
             wait_ms / 1000, yes_or_no(reply->blocked), generation,
             yes_or_no(reply->has_signed_ops));
}

/* Logs the reply if it differs from the last one, or the last report failed. Returns in how many
 * milliseconds the next report is due. */
static int64_t heartbeat_succeeded(struct hub_heartbeat *heartbeat, const struct config *config,
                                   const struct hub_reply *reply)
{
    const bool is_news = !heartbeat->is_logged || heartbeat->failures > 0 ||
                         !hub_reply_equals(&heartbeat->reply, reply);
    if (reply->poll_seconds > 0)
        heartbeat->poll_seconds = reply->poll_seconds;
    if (is_news)
        heartbeat_log(reply, heartbeat_poll_ms(heartbeat, config));
    heartbeat->is_logged = true;
    heartbeat->reply = *reply;
    heartbeat->failures = 0;
    return heartbeat_poll_ms(heartbeat, config);
}

/* Logs the error if it differs from that of the last failure. Returns in how many milliseconds
 * to try again. */
static int64_t heartbeat_failed(struct hub_heartbeat *heartbeat, const struct config *config,
                                const struct error *error)
{
    heartbeat->failures++;
    if (heartbeat->failures == 1 || strcmp(heartbeat->problem, error->message) != 0)
        log_line(LOG_WARNING, "hub: cannot send the host report: %s", error->message);
    memcpy(heartbeat->problem, error->message, sizeof heartbeat->problem);
    return worker_backoff_ms(heartbeat->failures, heartbeat_poll_ms(heartbeat, config));
}

int64_t hub_heartbeat_turn(struct hub_heartbeat *heartbeat, const struct config *config, bool fresh)
{
    struct error error;
    struct hub_reply reply = {0};
    if (fresh) {
        /* The new configuration may name another hub. */
        heartbeat->is_logged = false;
        heartbeat->poll_seconds = 0;
        heartbeat->failures = 0;
        heartbeat->next_at_us = 0;
    }
    if (*config->hub.api_key_file == '\0')
        return INT64_MAX;
    if (clock_steady_us() < heartbeat->next_at_us)
        return heartbeat->next_at_us;
    const int result = heartbeat_send(heartbeat, config, &reply, &error);
    if (atomic_load(heartbeat->stopping))
        return INT64_MAX; /* the stop makes requests fail */
    const int64_t wait_ms = result == 0 ? heartbeat_succeeded(heartbeat, config, &reply)
                                        : heartbeat_failed(heartbeat, config, &error);
    heartbeat->next_at_us = clock_steady_us() + wait_ms * 1000;
    return heartbeat->next_at_us;
}

/* --- the worker thread --- */

struct hub {
    struct context *context;
    atomic_bool stopping;
    struct worker *worker;
    struct http_client *client; /* this and the members below are for the worker thread only */
    struct hub_puller puller;
    struct hub_heartbeat heartbeat;
    uint8_t config_digest[DIGEST_BYTES]; /* digest of the hub section that the last step found */
};

/* True if the hub section of the configuration has changed since the last step; true at the
 * first step. */
static bool hub_config_changed(struct hub *hub, const struct config *config)
{
    uint8_t digest[DIGEST_BYTES];
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    buffer_add_format(&text, "%s\n%s\n%s\n%llu", config->hub.url, config->hub.ca_file,
                      config->hub.api_key_file, (unsigned long long)config->hub.poll_ms);
    digest_sha256(text.data, text.length, digest);
    const bool is_changed = memcmp(digest, hub->config_digest, sizeof digest) != 0;
    memcpy(hub->config_digest, digest, sizeof digest);
    return is_changed;
}

static int64_t hub_step(void *context)
{
    struct hub *hub = context;
    cleanup_server_config struct server_config *current = context_config(hub->context);
    const struct config *config = &current->config;
    const bool is_fresh = hub_config_changed(hub, config);
    if (*config->hub.url == '\0')
        return WORKER_IDLE;
    int64_t report_us = hub_heartbeat_turn(&hub->heartbeat, config, is_fresh);
    int64_t pull_us = hub_pull_turn(&hub->puller, config, is_fresh);
    int64_t wait_us = (report_us < pull_us ? report_us : pull_us) - clock_steady_us();
    return wait_us > 0 ? wait_us : 0;
}

struct hub *hub_start(struct context *context)
{
    struct hub *hub = mem_new(struct hub);
    hub->context = context;
    hub->client = http_client_new(&hub->stopping, &context->counters.hub);
    hub->puller = (struct hub_puller){
        .stores = context->stores,
        .client = hub->client,
        .stopping = &hub->stopping,
        .log = THROTTLED_LOG_NEW,
    };
    hub->heartbeat = (struct hub_heartbeat){
        .stores = context->stores,
        .client = hub->client,
        .figures = context->figures,
        .stopping = &hub->stopping,
    };
    hub->worker = worker_start("hub", hub_step, hub);
    return hub;
}

void hub_stop(struct hub *hub)
{
    if (!hub)
        return;
    atomic_store(&hub->stopping, true);
    worker_stop(hub->worker);
    http_client_free(hub->client);
    (void)pthread_mutex_destroy(&hub->puller.log.lock);
    free(hub);
}

void hub_wake(struct hub *hub)
{
    if (hub)
        worker_wake(hub->worker);
}
