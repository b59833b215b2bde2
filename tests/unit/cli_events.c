/* SPDX-License-Identifier: Apache-2.0 */
/* The audit trail as the operator sees it, and the forms in which any verb's result is printed. */
#include <jansson.h>
#include <string.h>

#include "store/db/store.h"
#include "store/tables/event.h"
#include "tests/unit/cli_scratch.h"
#include "tests/unit/test.h"

static void add(uint32_t vmid, const char *kind, const char *detail)
{
    struct error error;
    cleanup_store struct store *store = NULL;
    cleanup_free char *state_dir = scratch_path("state");
    const struct event event = {
        .at_ms = 1795428000000,
        .vmid = vmid,
        .kind = kind,
        .outcome = "ok",
        .detail = detail,
        .source = "felhomctl",
        .duration_us = -1,
    };
    if (store_open(state_dir, STORE_OPEN_EXISTING, 1000, &store, &error) < 0 ||
        event_add(store, &event, &error) < 0)
        fail_test("%s", error.message);
}

static int setup(void **state)
{
    int status = node_init(state);
    add(8200, "mint", "token a");
    add(8300, "refused", "w\x1b[2Jb");
    add(0, "init", "x");
    return status;
}

/* Returns the details that are listed, in order. */
static void assert_listed(const struct outcome *outcome, const char *expected)
{
    cleanup_buffer struct buffer details = BUFFER_EMPTY;
    json_t *list = json_loads(buffer_text(&outcome->out), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(list);
    for (size_t i = 0; i < json_array_size(list); i++)
        buffer_add_format(&details, "%s|",
                          json_string_value(json_object_get(json_array_get(list, i), "detail")));
    assert_string_equal(buffer_text(&details), expected);
    json_decref(list);
}

#define assert_events(expected, ...) \
    do { \
        cleanup_outcome struct outcome events_ = \
            felhomctl("events", "--output-format=json", __VA_ARGS__); \
        assert_int_equal(events_.status, 0); \
        assert_listed(&events_, expected); \
    } while (0)

static void the_newest_come_last(void **state)
{
    (void)state;
    assert_events("|token a|w\x1b[2Jb|x|", NULL); /* the first is of init */
    assert_events("token a|", "8200", NULL);
    assert_events("", "8400", NULL);
    assert_events("w\x1b[2Jb|x|", "--limit", "2", NULL);
    assert_events("w\x1b[2Jb|", "--limit", "1", "8300", NULL);
    assert_events("x|", "--since", "3", NULL);
    assert_events("x|", "--since", "0", "--limit=1", NULL);
    assert_events("", "--since", "999999999999999999", NULL);
    assert_events("", "--limit", "0", NULL);
}

static void a_hundred_are_enough(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        add(8200, "mint", "y");
    cleanup_outcome struct outcome newest = felhomctl("events", NULL);
    cleanup_outcome struct outcome all = felhomctl("events", "--since=0", NULL);
    assert_null(strstr(buffer_text(&newest.out), "token a"));
    assert_non_null(strstr(buffer_text(&all.out), "token a"));
}

static void text_is_a_line_each(void **state)
{
    (void)state;
    cleanup_outcome struct outcome outcome = felhomctl("events", "8300", NULL);
    assert_string_equal(buffer_text(&outcome.out),
                        "3       2026-11-23T10:00:00Z  8300   refused       ok       felhomctl   "
                        "w?[2Jb\n");
}

#define assert_form(form, expected) \
    do { \
        cleanup_outcome struct outcome form_ = \
            felhomctl("events", "8200", "--output-format", form, NULL); \
        assert_string_equal(buffer_text(&form_.out), expected); \
    } while (0)

static void forms(void **state)
{
    (void)state;
    assert_form("json", "[{\"seq\":2,\"at\":\"2026-11-23T10:00:00Z\",\"vmid\":8200,\"kind\":"
                        "\"mint\",\"outcome\":\"ok\",\"source\":\"felhomctl\",\"detail\":"
                        "\"token a\",\"duration_us\":null}]\n");
    assert_form("json-pretty",
                "[\n  {\n    \"seq\": 2,\n    \"at\": \"2026-11-23T10:00:00Z\",\n"
                "    \"vmid\": 8200,\n    \"kind\": \"mint\",\n    \"outcome\": \"ok\",\n"
                "    \"source\": \"felhomctl\",\n    \"detail\": \"token a\",\n"
                "    \"duration_us\": null\n  }\n]\n");
    assert_form("yaml", "- seq: 2\n  at: \"2026-11-23T10:00:00Z\"\n  vmid: 8200\n"
                        "  kind: \"mint\"\n  outcome: \"ok\"\n  source: \"felhomctl\"\n"
                        "  detail: \"token a\"\n  duration_us: null\n");
}

static void quiet_leaves_errors_alone(void **state)
{
    (void)state;
    cleanup_outcome struct outcome good = felhomctl("--quiet", "events", NULL);
    cleanup_outcome struct outcome bad = felhomctl("guest", "8400", "--quiet", NULL);
    assert_int_equal(good.status, 0);
    assert_string_equal(buffer_text(&good.out), "");
    assert_string_equal(buffer_text(&good.err), "");
    assert_int_equal(bad.status, 1);
    assert_string_equal(
        buffer_text(&bad.err),
        "felhomctl: guest 8400 is not known on this host: run felhomctl enroll 8400\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(the_newest_come_last, setup),      scratch_test(a_hundred_are_enough, setup),
        scratch_test(text_is_a_line_each, setup),       scratch_test(forms, setup),
        scratch_test(quiet_leaves_errors_alone, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
