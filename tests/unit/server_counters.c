/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api/route.h"
#include "server/base/counters.h"

#include <string.h>

#include "tests/unit/test.h"

static size_t sum_of_requests(const struct counters *counters)
{
    size_t sum = 0;
    for (size_t i = 0; i <= ROUTE_COUNT; i++)
        for (size_t j = 0; j < COUNTERS_STATUSES; j++)
            sum += atomic_load(&counters->requests[i][j]);
    return sum;
}

static size_t code_named(const char *name)
{
    size_t code = 0;
    while (strcmp(counters_status_name(code), name) != 0)
        code++;
    return code;
}

static void requests_by_endpoint_and_code(void **state)
{
    struct counters counters = {0};
    size_t storage = route_resolve("/storage", "GET").endpoint;
    (void)state;
    counters_add_request(&counters, storage, 200);
    counters_add_request(&counters, storage, 200);
    counters_add_request(&counters, storage, 599);
    counters_add_request(&counters, route_resolve("/storage/", "GET").endpoint, 200);
    counters_add_request(&counters, ROUTE_COUNT, 505);
    assert_string_equal(route_path(storage), "/storage");
    assert_int_equal(atomic_load(&counters.requests[storage][code_named("200")]), 2);
    assert_int_equal(atomic_load(&counters.requests[storage][code_named("other")]), 1);
    assert_int_equal(atomic_load(&counters.requests[ROUTE_COUNT][code_named("200")]), 1);
    assert_int_equal(atomic_load(&counters.requests[ROUTE_COUNT][code_named("505")]), 1);
    assert_int_equal(sum_of_requests(&counters), 5);
    assert_string_equal(route_path(ROUTE_COUNT), "other");
}

static void every_refusal_of_the_gate_has_a_count(void **state)
{
    struct counters counters = {0};
    (void)state;
    for (enum refusal_reason refusal = REFUSAL_NOT_ALLOWED;
         refusal <= REFUSAL_CONNECTIONS_TOO_OFTEN; refusal++)
        counters_add_refusal(&counters, refusal);
    assert_int_equal(atomic_load(&counters.refusals[0]), 0);
    counters_add_refusal(&counters, REFUSAL_NONE);
    assert_int_equal(atomic_load(&counters.refusals[0]), 1);
    for (size_t i = 0; i < REFUSAL_REASONS; i++)
        assert_true(atomic_load(&counters.refusals[i]) <= 1);
}

static void nobody_has_to_count(void **state)
{
    (void)state;
    counters_add_request(NULL, 0, 200);
    counters_add_refusal(NULL, REFUSAL_STRANGER);
    counters_add_handshake(NULL, HANDSHAKE_LATE);
    counters_add_call(NULL, CALL_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_by_endpoint_and_code),
        cmocka_unit_test(every_refusal_of_the_gate_has_a_count),
        cmocka_unit_test(nobody_has_to_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
