/* SPDX-License-Identifier: Apache-2.0 */
#include "store/documents/documents.h"

#include <string.h>

#include "store/identity/identity.h"
#include "store/tables/hub_config.h"
#include "tests/unit/test.h"

#include "tests/unit/enrolment.h"
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

/* --- faults of the operator's files, where a guest gets its directory --- */

static struct guest_files rendered(struct store *store, struct error *ret_fault)
{
    struct identity identity = {0};
    bool made;
    struct guest_files files;
    cleanup(document_sources_free) struct document_sources sources = {0};
    cleanup(config_free) struct config config = config_of_scratch(HUB_URL);
    free(config.paths.state);
    config.paths.state = mem_copy_text(in_scratch("state"));
    OK(identity_ensure(config.paths.state, "host", (struct in_addr){htonl(INADDR_LOOPBACK)},
                       &identity, &made, &error));
    identity_free(&identity);
    OK(document_sources_load(&config, 8200, store, &sources, &error));
    documents_render(&config, &sources, "the-token", &files, ret_fault);
    assert_non_null(strstr(buffer_text(&files.bootstrap_json), "\"the-token\""));
    assert_string_equal(buffer_text(&files.token), "the-token\n");
    assert_non_null(strstr(buffer_text(&files.agent_crt), "BEGIN CERTIFICATE"));
    return files;
}

/* expected: a part of the fault, "" for none. controller: a part of controller.yaml, "" if there is
 * none. */
static void assert_given(struct store *store, const char *expected, const char *controller)
{
    struct error fault;
    cleanup(guest_files_free) struct guest_files files = rendered(store, &fault);
    if (!*expected)
        assert_int_equal(fault.kind, ERROR_NONE);
    else if (fault.kind == ERROR_NONE || !strstr(fault.message, expected))
        fail_test("'%s' lacks '%s'", fault.kind == ERROR_NONE ? "" : fault.message, expected);
    if (!*controller)
        assert_int_equal(files.controller_yaml.length, 0);
    else if (!strstr(buffer_text(&files.controller_yaml), controller))
        fail_test("'%s' lacks '%s'", buffer_text(&files.controller_yaml), controller);
}

static void put_host(struct store *store)
{
    struct host host = {.endpoint = "192.0.2.1:8443", .host_id = "h", .node = "n"};
    put_guest(store, 8200);
    OK(host_put(store, &host, &error));
}

static void test_a_faulty_template_takes_controller_yaml_alone(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_host(store);
    assert_given(store, "", "local_api:");
    shell("printf 'web:\\n\\tport: 1\\n' >template.yaml");
    assert_given(store, "there is no controller.yaml: ", "");
    assert_given(store, "/template.yaml:2:1: ", "");
    assert_given(store, ": correct the file, then run felhomctl rotate 8200", "");
    shell("rm template.yaml; mkdir template.yaml");
    assert_given(store, "/template.yaml: not a regular file: correct", "");
    shell("rmdir template.yaml; truncate -s 100M template.yaml");
    assert_given(store, "/template.yaml: larger than 1048576 bytes: correct", "");
    shell("rm template.yaml; echo 'a: template' >template.yaml");
    assert_given(store, "", "a: template");
}

static void test_a_faulty_enrolment_leaves_the_recorded_one(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_host(store);
    shell("echo 'custmer: {id: acme}' >8200.yaml");
    assert_given(store, "there is no controller.yaml: ", "");
    assert_given(store, "/8200.yaml:1:1: custmer: ", "");
    assert_given(store, "run felhomctl enroll 8200 && felhomctl rotate 8200", "");
    record_enrolment(store, 8200, ENROLMENT, strlen(ENROLMENT));
    assert_given(store, "the enrolment as it was before stays in force: ", "id: \"acme\"");
    shell("rm 8200.yaml; mkdir 8200.yaml");
    assert_given(store, "/8200.yaml: not a regular file: correct", "id: \"acme\"");
    shell("rmdir 8200.yaml; echo 'customer: {id: other}' >8200.yaml");
    assert_given(store, "", "id: \"other\"");
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
        store_test(test_a_faulty_template_takes_controller_yaml_alone),
        store_test(test_a_faulty_enrolment_leaves_the_recorded_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
