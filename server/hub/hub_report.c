/* SPDX-License-Identifier: Apache-2.0 */
#include "server/hub/hub_report.h"

#include <string.h>

#include "schema/agent/enrolment.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/version.h"
#include "schema/json/json.h"
#include "server/http/api_time.h"
#include "store/tables/guest.h"
#include "store/tables/job.h"
#include "store/tables/restore_test.h"

#define SCHEMA      "felhom.host-report/v1"
#define REAL_DIGITS 15 /* what a double is sure of: 12.3 is not 12.300000000000001 */

/* A list that is being made from the store. */
struct list {
    struct store *store;
    json_t *items;
    int64_t now_ms;
    struct error *error;
};

static json_t *text_or_null(const char *text)
{
    return *text ? json_text(text) : json_null();
}

static int append(struct list *list, json_t *item)
{
    json_append(list->items, item);
    return 0;
}

/* --- guests --- */

/* What is between running and stopped is neither yet, but one that is stopping still runs. */
static const char *const status_names[] = {
    [GUEST_STARTING] = "unknown",
    [GUEST_RUNNING] = "running",
    [GUEST_STOPPING] = "running",
    [GUEST_STOPPED] = "stopped",
};

/* An enrolment that cannot be read names no customer. */
static int read_customer(struct list *list, uint32_t vmid, json_t **ret)
{
    struct error ignored;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(enrolment_free) struct enrolment enrolment = {0};
    if (guest_get_enrolment(list->store, vmid, &text, list->error) < 0)
        return -1;
    bool is_read =
        enrolment_parse("enrolment", buffer_text(&text), text.length, &enrolment, &ignored) == 0;
    *ret = is_read ? text_or_null(enrolment.customer_id) : json_null();
    return 0;
}

static int add_guest(const struct guest *guest, void *context)
{
    struct list *list = context;
    json_t *customer;
    if (read_customer(list, guest->vmid, &customer) < 0)
        return -1;
    return append(list, json_pack("{s:I, s:s, s:o, s:{s:s, s:o, s:o}}", /**/
                                  "vmid", (json_int_t)guest->vmid,      /**/
                                  "status", status_names[guest->state], /**/
                                  "customer", customer,                 /**/
                                  "spec",                               /**/
                                  "kind", guest_kind_name(guest->kind), /**/
                                  "name", json_text(guest->name),       /**/
                                  "mount_form", text_or_null(guest->mount_form)));
}

/* --- backups and restore tests --- */

static json_t *age_seconds(int64_t at_ms, int64_t now_ms)
{
    if (at_ms <= 0)
        return json_null();
    return json_integer(now_ms > at_ms ? (now_ms - at_ms) / 1000 : 0);
}

static int add_backup(const struct guest *guest, void *context)
{
    struct list *list = context;
    struct job job;
    struct backup backup;
    if (job_newest(list->store, guest->vmid, JOB_BACKUP, &job, list->error) < 0 ||
        backup_get(list->store, guest->vmid, &backup, list->error) < 0)
        return -1;
    return append(list,
                  json_pack("{s:I, s:s, s:o, s:o, s:o, s:o}",                         /**/
                            "vmid", (json_int_t)guest->vmid,                          /**/
                            "phase", job.job_id ? job_phase_name(job.phase) : "idle", /**/
                            "at", api_time(backup.at_ms),                             /**/
                            "archive", text_or_null(backup.archive),                  /**/
                            "age_seconds", age_seconds(backup.at_ms, list->now_ms),   /**/
                            "error", job.phase == JOB_FAILED ? json_text(job.error) : json_null()));
}

/* Of one that runs neither passed nor at is known yet. */
static int add_restore_test(const struct restore_test *test, void *context)
{
    bool is_finished = test->finished_at_ms != 0;
    return append(context, json_pack("{s:I, s:o, s:o, s:o, s:o}",                            /**/
                                     "vmid", (json_int_t)test->vmid,                         /**/
                                     "passed",                                               /**/
                                     is_finished ? json_boolean(test->passed) : json_null(), /**/
                                     "at", api_time(test->finished_at_ms),                   /**/
                                     "archive", text_or_null(test->archive),                 /**/
                                     "error", text_or_null(test->error)));
}

/* --- storages --- */

static void mark_storage(const struct config *config, json_t *storage)
{
    const char *name = json_string_value(json_object_get(storage, "storage"));
    const char *class = config_storage_class(config, name ? name : "");
    bool is_target = name && strcmp(name, config->backup.storage) == 0;
    json_set(storage, "class", json_text(class));
    json_set(storage, "backup_target", json_boolean(is_target));
}

/* They move from the metrics to a group of their own. */
static json_t *take_storages(const struct hub_report_frame *frame)
{
    json_t *storages = json_incref(json_object_get(frame->metrics, "storages"));
    (void)json_object_del(frame->metrics, "storages");
    for (size_t i = 0; i < json_array_size(storages); i++)
        mark_storage(frame->config, json_array_get(storages, i));
    return storages ? storages : json_array();
}

/* --- the whole --- */

struct lists {
    json_t *guests;
    json_t *backups;
    json_t *restore_tests;
};

static void lists_free(struct lists *lists)
{
    json_decref(lists->guests);
    json_decref(lists->backups);
    json_decref(lists->restore_tests);
}

static int read_lists(struct store *store, int64_t now_ms, struct lists *lists, struct error *error)
{
    struct list guests = {store, lists->guests, now_ms, error};
    struct list backups = {store, lists->backups, now_ms, error};
    struct list restore_tests = {store, lists->restore_tests, now_ms, error};
    if (guest_each(store, add_guest, &guests, error) < 0 ||
        guest_each(store, add_backup, &backups, error) < 0)
        return -1;
    return restore_test_each(store, add_restore_test, &restore_tests, error);
}

static json_t *assemble(const struct hub_report_frame *frame, const struct lists *lists)
{
    json_t *storages = take_storages(frame);
    return json_pack("{s:s, s:o, s:o, s:s, s:o, s:I, s:O, s:o, s:O, s:O, s:O}", /**/
                     "schema", SCHEMA,                                          /**/
                     "host_id", json_text(frame->host->host_id),                /**/
                     "node", json_text(frame->host->node),                      /**/
                     "agent_version", FELHOM_VERSION,                           /**/
                     "at", api_time(frame->now_ms),                             /**/
                     "poll_seconds", (json_int_t)frame->poll_seconds,           /**/
                     "metrics", frame->metrics,                                 /**/
                     "storages", storages,                                      /**/
                     "guests", lists->guests,                                   /**/
                     "backups", lists->backups,                                 /**/
                     "restore_tests", lists->restore_tests);
}

int hub_report_render(struct store *store, const struct hub_report_frame *frame, struct buffer *out,
                      struct error *error)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(lists_free) struct lists lists = {json_array(), json_array(), json_array()};
    if (read_lists(store, frame->now_ms, &lists, error) < 0)
        return -1;
    cleanup_json json_t *report = assemble(frame, &lists);
    if (!report)
        mem_exhausted();
    json_write(report, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS), &text);
    if (text.length > HUB_REPORT_LIMIT)
        return fail(error, ERROR_INVALID, "the host's report is over %zu MiB",
                    HUB_REPORT_LIMIT >> 20);
    buffer_add(out, text.data, text.length);
    return 0;
}
