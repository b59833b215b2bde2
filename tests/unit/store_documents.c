/* SPDX-License-Identifier: Apache-2.0 */
#include "store/documents/documents.h"

#include <string.h>

#include "store/tables/hub_config.h"
#include "tests/unit/test.h"

#include "tests/unit/store_fixture.h"

#define HUB_URL "https://hub.example"
#define ENROLMENT \
    "customer: {id: acme}\nhub: {retrieval_password: secret}\ncontroller: {b: guest}\n"

static struct config config_of_scratch(const char *hub_url)
{
    struct config config;
    cleanup_free char *text =
        mem_format("hub: {url: \"%s\"}\ncontroller: {template: %s/template.yaml}\n"
                   "paths: {enrolment: %s}\n",
                   hub_url, scratch, scratch);
    OK(config_parse("agent.yaml", text, strlen(text), &config, &error));
    return config;
}

static struct controller_parts parts_of(const char *enrolment)
{
    struct controller_parts parts = {.vmid = 8200,
                                     .host = {.endpoint = "192.0.2.1:8443", .pins.leaf = "AA:BB"}};
    buffer_add_text(&parts.enrolment_text, enrolment);
    return parts;
}

static void put_hub(struct store *store, const char *url, const char *body)
{
    struct hub_pull pull = {.vmid = 8200};
    struct enrolment enrolment;
    OK(enrolment_parse("x", ENROLMENT, strlen(ENROLMENT), &enrolment, &error));
    assert_true(hub_origin(url, &enrolment, pull.origin));
    OK(hub_config_put(store, &pull, body, strlen(body), 1, &error));
    enrolment_free(&enrolment);
}

static void assert_rendered(struct store *store, const char *enrolment, const char *url,
                            const char *expected, const char *left_out)
{
    struct error problem = {0};
    cleanup(config_free) struct config config = config_of_scratch(url);
    cleanup(controller_parts_free) struct controller_parts parts = parts_of(enrolment);
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    OK(controller_parts_complete(&config, store, &parts, &error));
    OK(controller_parts_render(&config, &parts, "token", &out, &problem, &error));
    assert_string_equal(buffer_text(&out), expected);
    assert_int_equal(problem.kind == ERROR_NONE, *left_out == '\0');
    assert_string_equal(problem.kind == ERROR_NONE ? "" : problem.message, left_out);
}

#define OWN_KEYS \
    "hub:\n  url: \"" HUB_URL "\"\nlocal_api:\n  endpoint: \"192.0.2.1:8443\"\n" \
    "  fingerprint: \"AA:BB\"\n  token: \"token\"\n"

static void test_all_sources_by_weight(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    shell("printf 'a: template\\nb: template\\nc: template\\n' >template.yaml");
    put_hub(store, HUB_URL, "b: hub\nc: hub\nd: hub\n");
    assert_rendered(store, ENROLMENT, HUB_URL,
                    "a: template\nb: guest\nc: hub\nd: hub\ncustomer:\n  id: \"acme\"\n" OWN_KEYS,
                    "");
}

static void test_without_any_source(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    assert_rendered(store, "", HUB_URL, OWN_KEYS, "");
}

/* A configuration pulled with another password belongs to another customer, as far as we know. */
static void test_hub_of_another_origin_is_left_out(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    put_hub(store, "https://former.example", "d: hub\n");
    assert_rendered(store, ENROLMENT, HUB_URL, "customer:\n  id: \"acme\"\nb: guest\n" OWN_KEYS,
                    "");
    put_hub(store, HUB_URL, "d: hub\n");
    assert_rendered(store, "customer: {id: other}\nhub: {retrieval_password: secret}\n", HUB_URL,
                    "customer:\n  id: \"other\"\n" OWN_KEYS, "");
    assert_rendered(store, "customer: {id: acme}\n", HUB_URL,
                    "customer:\n  id: \"acme\"\n" OWN_KEYS, "");
}

static void test_a_faulty_hub_is_left_out(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    put_hub(store, HUB_URL, "d: [\n");
    assert_rendered(store, ENROLMENT, HUB_URL, "customer:\n  id: \"acme\"\nb: guest\n" OWN_KEYS,
                    "the hub's configuration:2:1: while parsing a flow node: did not find expected "
                    "node content");
}

static void test_a_faulty_template_is_the_operators(void **state)
{
    (void)state;
    struct error problem = {0};
    cleanup_store struct store *store = store_of_scratch();
    cleanup(config_free) struct config config = config_of_scratch(HUB_URL);
    cleanup(controller_parts_free) struct controller_parts parts = parts_of(ENROLMENT);
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    put_guest(store, 8200);
    put_hub(store, HUB_URL, "d: 1\n");
    shell("echo '- a' >template.yaml");
    OK(controller_parts_complete(&config, store, &parts, &error));
    assert_int_equal(controller_parts_render(&config, &parts, "t", &out, &problem, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_non_null(strstr(error.message, "template.yaml:1:1: "));
    assert_int_equal(problem.kind, ERROR_NONE);
    assert_int_equal(out.length, 0);
}

static void test_a_faulty_enrolment_is_the_operators(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    cleanup(config_free) struct config config = config_of_scratch(HUB_URL);
    cleanup(controller_parts_free) struct controller_parts parts = parts_of("custmer: {}\n");
    put_guest(store, 8200);
    assert_int_equal(controller_parts_complete(&config, store, &parts, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_non_null(strstr(error.message, "/8200.yaml:1:1: custmer"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(test_all_sources_by_weight),
        store_test(test_without_any_source),
        store_test(test_hub_of_another_origin_is_left_out),
        store_test(test_a_faulty_hub_is_left_out),
        store_test(test_a_faulty_template_is_the_operators),
        store_test(test_a_faulty_enrolment_is_the_operators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
