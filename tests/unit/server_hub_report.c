/* SPDX-License-Identifier: Apache-2.0 */
#include "server/hub/hub.h"

#include <string.h>

#include "schema/json/json.h"
#include "store/tables/job.h"
#include "tests/unit/test.h"

#include "tests/unit/enrolment.h"
#include "tests/unit/store_fixture.h"

#define NOW_MS ((int64_t)1800000000000) /* 2027-01-15T08:00:00Z */

static struct config config_of(const char *text)
{
    struct config config;
    OK(config_parse("agent.yaml", text, strlen(text), &config, &error));
    return config;
}

static json_t *metrics_of(const char *text)
{
    json_t *metrics = json_loads(text, 0, NULL);
    assert_non_null(metrics);
    return metrics;
}

/* Returns the report of a store as JSON. */
static json_t *report(struct store *store, const char *metrics_text)
{
    const struct host host = {.host_id = "demo", .node = "pve\xff"};
    cleanup(config_free) struct config config =
        config_of("storage_classes: {local-lvm: fast}\nbackup: {storage: usb}\n");
    cleanup_json json_t *metrics = metrics_of(metrics_text);
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    const struct hub_report_frame frame = {
        .config = &config, .host = &host, .figures = metrics, .poll_seconds = 60, .now_ms = NOW_MS};
    OK(hub_report_render(store, &frame, &out, &error));
    json_t *value = json_loadb(out.data, out.length, 0, NULL);
    assert_non_null(value);
    return value;
}

static void assert_part(const json_t *report, const char *key, const char *expected)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    json_write(json_object_get(report, key),
               JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15), &text);
    assert_string_equal(buffer_text(&text), expected);
}

static void put_in_state(struct store *store, uint32_t vmid, enum guest_state state,
                         const char *enrolment)
{
    put_guest(store, vmid);
    OK(guest_set_state(store, vmid, state, 1, &error));
    record_enrolment(store, vmid, enrolment, strlen(enrolment));
}

static void test_an_empty_host(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    cleanup_json json_t *value = report(store, "{\"cpu_percent\": 12.3, \"storages\": []}");
    assert_part(value, "schema", "\"felhom.host-report/v1\"");
    assert_part(value, "host_id", "\"demo\"");
    assert_part(value, "node", "\"pve\xEF\xBF\xBD\"");
    assert_part(value, "at", "\"2027-01-15T08:00:00Z\"");
    assert_part(value, "poll_seconds", "60");
    assert_part(value, "metrics", "{\"cpu_percent\":12.3}");
    assert_part(value, "storages", "[]");
    assert_part(value, "guests", "[]");
    assert_part(value, "backups", "[]");
    assert_part(value, "restore_tests", "[]");
    assert_int_equal(json_object_size(value), 11);
}

static void test_guests(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_in_state(store, 100, GUEST_STARTING, "");
    put_in_state(store, 101, GUEST_RUNNING, "customer: {id: acme}\nhub: {retrieval_password: x}\n");
    put_in_state(store, 102, GUEST_STOPPING, "what: is this\n");
    put_in_state(store, 103, GUEST_STOPPED, "customer: {name: ACME}\n");
    cleanup_json json_t *value = report(store, "{}");
#define SPEC "\"spec\":{\"kind\":\"lxc\",\"name\":\"web\",\"mount_form\":\"entry\"}}"
    assert_part(value, "guests",
                "[{\"vmid\":100,\"status\":\"unknown\",\"customer\":null," SPEC
                ",{\"vmid\":101,\"status\":\"running\",\"customer\":\"acme\"," SPEC
                ",{\"vmid\":102,\"status\":\"running\",\"customer\":null," SPEC
                ",{\"vmid\":103,\"status\":\"stopped\",\"customer\":null," SPEC "]");
}

static void test_backups(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct job_obstacle running;
    int64_t job_id;
    const struct backup backup = {
        .archive = "usb:backup/x.tar", .size_bytes = 1, .at_ms = NOW_MS - 90500};
    put_guest(store, 100);
    put_guest(store, 101);
    put_guest(store, 102);
    OK(backup_put(store, 101, &backup, &error));
    struct job job = {.vmid = 102, .kind = JOB_BACKUP};
    OK(job_add(store, &job, NULL, 1, &job_id, &running, &error));
    OK(job_finish(store, job_id, false, "no space", 2, &error));
    cleanup_json json_t *value = report(store, "{}");
    assert_part(value, "backups",
                "[{\"vmid\":100,\"phase\":\"idle\",\"at\":null,\"archive\":null,"
                "\"age_seconds\":null,\"error\":null},"
                "{\"vmid\":101,\"phase\":\"idle\",\"at\":\"2027-01-15T07:58:29Z\","
                "\"archive\":\"usb:backup/x.tar\",\"age_seconds\":90,\"error\":null},"
                "{\"vmid\":102,\"phase\":\"failed\",\"at\":null,\"archive\":null,"
                "\"age_seconds\":null,\"error\":\"no space\"}]");
}

static void test_restore_tests(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    for (uint32_t vmid = 100; vmid < 103; vmid++) {
        const struct restore_test test = {
            .vmid = vmid, .spare_vmid = 900, .archive = "usb:x", .started_at_ms = NOW_MS};
        put_guest(store, vmid);
        OK(restore_test_begin(store, &test, &error));
    }
    OK(restore_test_finish(store, 101, NULL, NOW_MS, &error));
    OK(restore_test_finish(store, 102, "did not boot", NOW_MS, &error));
    cleanup_json json_t *value = report(store, "{}");
    assert_part(
        value, "restore_tests",
        "[{\"vmid\":100,\"passed\":null,\"at\":null,\"archive\":\"usb:x\",\"error\":null},"
        "{\"vmid\":101,\"passed\":true,\"at\":\"2027-01-15T08:00:00Z\",\"archive\":\"usb:x\","
        "\"error\":null},"
        "{\"vmid\":102,\"passed\":false,\"at\":\"2027-01-15T08:00:00Z\",\"archive\":\"usb:x\","
        "\"error\":\"did not boot\"}]");
}

static void test_storages_are_a_group_of_their_own(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    cleanup_json json_t *value =
        report(store, "{\"uptime_seconds\": 5, \"storages\": [{\"storage\": \"local-lvm\","
                      " \"used_bytes\": 1}, {\"storage\": \"usb\"}]}");
    assert_part(value, "metrics", "{\"uptime_seconds\":5}");
    assert_part(value, "storages",
                "[{\"storage\":\"local-lvm\",\"used_bytes\":1,\"class\":\"fast\","
                "\"backup_target\":false},{\"storage\":\"usb\",\"class\":\"\","
                "\"backup_target\":true}]");
}

static void test_too_large_a_report_is_not_made(void **state)
{
    (void)state;
    const struct host host = {.host_id = "demo"};
    cleanup_store struct store *store = store_of_scratch();
    cleanup(config_free) struct config config = config_of("");
    cleanup_buffer struct buffer filler = BUFFER_EMPTY;
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    memset(buffer_reserve(&filler, HUB_REPORT_LIMIT), 'x', HUB_REPORT_LIMIT);
    cleanup_json json_t *metrics =
        json_pack("{s:s%}", "filler", filler.data, (size_t)HUB_REPORT_LIMIT);
    const struct hub_report_frame frame = {.config = &config, .host = &host, .figures = metrics};
    FAILS(hub_report_render(store, &frame, &out, &error), ERROR_INVALID,
          "the host's report is over 4 MiB");
    assert_int_equal(out.length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(test_an_empty_host),
        store_test(test_guests),
        store_test(test_backups),
        store_test(test_restore_tests),
        store_test(test_storages_are_a_group_of_their_own),
        store_test(test_too_large_a_report_is_not_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
