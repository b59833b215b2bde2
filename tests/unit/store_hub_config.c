/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/hub_config.h"

#include <string.h>

#include "tests/unit/test.h"

#include "tests/unit/store_fixture.h"

#define URL "https://hub.example"

static struct enrolment enrolment_of(char *customer, char *password)
{
    return (struct enrolment){.customer_id = customer, .hub_retrieval_password = password};
}

static struct hub_pull pull_from(uint32_t vmid, const char *url)
{
    char customer[] = "acme";
    char password[] = "secret";
    const struct enrolment enrolment = enrolment_of(customer, password);
    struct hub_pull pull = {.vmid = vmid};
    assert_true(hub_origin(url, &enrolment, pull.origin));
    return pull;
}

static void assert_body(struct store *store, const struct hub_pull *pull, const char *expected)
{
    cleanup_buffer struct buffer body = BUFFER_EMPTY;
    OK(hub_config_get(store, pull->vmid, pull->origin, &body, &error));
    assert_string_equal(buffer_text(&body), expected);
    assert_int_equal(body.length, strlen(expected));
}

static void put_body(struct store *store, struct hub_pull *pull, const char *body)
{
    pull->next_try_at_ms = 5000;
    OK(hub_config_put(store, pull, body, strlen(body), 4000, &error));
}

static void test_origins(void **state)
{
    (void)state;
    static char texts[][8] = {"", "a", "b", "ab"};
    uint8_t first[DIGEST_BYTES];
    uint8_t second[DIGEST_BYTES];
    struct enrolment enrolment = enrolment_of(texts[3], texts[1]);
    assert_true(hub_origin(URL, &enrolment, first));
    assert_true(hub_origin(URL, &enrolment, second));
    assert_memory_equal(first, second, sizeof first);
    assert_true(hub_origin(URL "/", &enrolment, second));
    assert_memory_not_equal(first, second, sizeof first);
    enrolment = enrolment_of(texts[1], texts[1]);
    assert_true(hub_origin(URL "b", &enrolment, second));
    assert_memory_not_equal(first, second, sizeof first);
    enrolment = enrolment_of(texts[3], texts[2]);
    assert_true(hub_origin(URL, &enrolment, second));
    assert_memory_not_equal(first, second, sizeof first);
    assert_false(hub_origin("", &enrolment, second));
    enrolment = enrolment_of(texts[0], texts[1]);
    assert_false(hub_origin(URL, &enrolment, second));
    enrolment = enrolment_of(texts[1], texts[0]);
    assert_false(hub_origin(URL, &enrolment, second));
}

static void test_nothing_was_pulled(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    cleanup_buffer struct buffer problem = BUFFER_EMPTY;
    struct hub_pull pull = {.vmid = 1, .failures = 7};
    put_guest(store, 8200);
    OK(hub_pull_get(store, 8200, &pull, &error));
    assert_int_equal(pull.vmid, 0);
    assert_int_equal(pull.failures, 0);
    pull = pull_from(8200, URL);
    assert_body(store, &pull, "");
    OK(hub_config_problem(store, 8200, &problem, &error));
    assert_int_equal(problem.length, 0);
    OK(hub_config_forget(store, 8200, &error));
}

static void test_success_takes_the_place_of_all(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct hub_pull pull = pull_from(8200, URL);
    put_guest(store, 8200);
    pull.failures = 3;
    OK(hub_config_fail(store, &pull, "oops", &error));
    put_body(store, &pull, "a: 1\n");
    assert_body(store, &pull, "a: 1\n");
    struct hub_pull found;
    OK(hub_pull_get(store, 8200, &found, &error));
    assert_int_equal(found.vmid, 8200);
    assert_memory_equal(found.origin, pull.origin, sizeof pull.origin);
    assert_false(found.refused);
    assert_int_equal(found.failures, 0);
    assert_int_equal(found.fetched_at_ms, 4000);
    assert_int_equal(found.next_try_at_ms, 5000);
    assert_raw("SELECT error FROM hub_config", "");
    put_body(store, &pull, "b: 2\n");
    assert_body(store, &pull, "b: 2\n");
}

static void test_a_body_is_of_its_origin_alone(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct hub_pull pull = pull_from(8200, URL);
    const struct hub_pull other = pull_from(8200, "http://other.example");
    put_guest(store, 8200);
    put_guest(store, 8300);
    put_body(store, &pull, "a: 1\n");
    assert_body(store, &other, "");
    const struct hub_pull neighbour = pull_from(8300, URL);
    assert_body(store, &neighbour, "");
}

static void test_failure_keeps_the_body(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    cleanup_buffer struct buffer problem = BUFFER_EMPTY;
    struct hub_pull found;
    struct hub_pull pull = pull_from(8200, URL);
    put_guest(store, 8200);
    put_body(store, &pull, "a: 1\n");
    pull.failures = 2;
    pull.next_try_at_ms = 9000;
    OK(hub_config_fail(store, &pull, "no connection", &error));
    assert_body(store, &pull, "a: 1\n");
    OK(hub_pull_get(store, 8200, &found, &error));
    assert_int_equal(found.failures, 2);
    assert_int_equal(found.fetched_at_ms, 4000);
    assert_int_equal(found.next_try_at_ms, 9000);
    OK(hub_config_problem(store, 8200, &problem, &error));
    assert_string_equal(buffer_text(&problem), "no connection");
}

static void test_refusal_empties_the_body(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct hub_pull found;
    struct hub_pull pull = pull_from(8200, URL);
    put_guest(store, 8200);
    put_body(store, &pull, "a: 1\n");
    pull.refused = true;
    OK(hub_config_fail(store, &pull, "the hub answered 401", &error));
    assert_body(store, &pull, "");
    assert_raw("SELECT length(body) FROM hub_config", "0");
    OK(hub_pull_get(store, 8200, &found, &error));
    assert_true(found.refused);
}

static void test_failure_of_another_origin_empties_the_body(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct hub_pull found;
    struct hub_pull pull = pull_from(8200, URL);
    const struct hub_pull other = pull_from(8200, "http://other.example");
    put_guest(store, 8200);
    put_body(store, &pull, "a: 1\n");
    OK(hub_config_fail(store, &other, "no connection", &error));
    assert_body(store, &other, "");
    assert_body(store, &pull, "");
    OK(hub_pull_get(store, 8200, &found, &error));
    assert_memory_equal(found.origin, other.origin, sizeof other.origin);
    assert_int_equal(found.fetched_at_ms, 0);
}

static void test_forgotten_with_and_without_its_guest(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct hub_pull pull = pull_from(8200, URL);
    put_guest(store, 8200);
    put_body(store, &pull, "a: 1\n");
    OK(hub_config_forget(store, 8200, &error));
    assert_body(store, &pull, "");
    put_body(store, &pull, "a: 1\n");
    OK(guest_remove(store, 8200, &error));
    assert_raw("SELECT count(*) FROM hub_config", "0");
    FAILS(hub_config_put(store, &pull, "a: 1\n", 5, 4000, &error), ERROR_MISSING,
          "the store knows no such guest");
    FAILS(hub_config_fail(store, &pull, "x", &error), ERROR_MISSING,
          "the store knows no such guest");
}

static void test_bodies_that_may_be_kept(void **state)
{
    static const struct {
        const char *body;
        bool good;
    } cases[] = {
        {"a: 1\n", true},
        {"{}", true},
        {"# said\n{a: [1, 2]}", true},
        {"", false},
        {" \r\n\t", false},
        {"- a\n", false},
        {"text", false},
        {"<html>", false},
        {"a: 1\na: 2\n", false},
        {"a: [\n", false},
        {"a: 1\n---\nb: 2\n", false},
        {"\xff\xfe\xff", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int result = hub_config_check(cases[i].body, strlen(cases[i].body), &error);
        if ((result == 0) != cases[i].good)
            fail_test("%zu: %s", i, result ? error.message : "accepted");
        if (result)
            assert_int_equal(error.kind, ERROR_INVALID);
    }
    assert_int_equal(hub_config_check("\0\0", 2, &error), -1);
    FAILS(hub_config_check("a: [\n", 5, &error), ERROR_INVALID,
          "the hub's configuration:2:1: while parsing a flow node: did not find expected node "
          "content");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_origins),
        store_test(test_nothing_was_pulled),
        store_test(test_success_takes_the_place_of_all),
        store_test(test_a_body_is_of_its_origin_alone),
        store_test(test_failure_keeps_the_body),
        store_test(test_refusal_empties_the_body),
        store_test(test_failure_of_another_origin_empties_the_body),
        store_test(test_forgotten_with_and_without_its_guest),
        cmocka_unit_test(test_bodies_that_may_be_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
