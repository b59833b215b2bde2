/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/tally.h"

#include <string.h>

#include "server/net/gate.h"
#include "tests/unit/test.h"

static size_t sum_of_requests(const struct tally *tally)
{
    size_t sum = 0;
    for (size_t i = 0; i <= ROUTE_COUNT; i++)
        for (size_t j = 0; j < TALLY_CODES; j++)
            sum += atomic_load(&tally->requests[i][j]);
    return sum;
}

static size_t code_named(const char *name)
{
    size_t code = 0;
    while (strcmp(tally_code_name(code), name) != 0)
        code++;
    return code;
}

static void requests_by_endpoint_and_code(void **state)
{
    struct tally tally = {0};
    size_t storage = route_index("/storage");
    (void)state;
    tally_request(&tally, storage, 200);
    tally_request(&tally, storage, 200);
    tally_request(&tally, storage, 599);
    tally_request(&tally, route_index("/storage/"), 200);
    tally_request(&tally, ROUTE_COUNT, 505);
    assert_string_equal(route_path(storage), "/storage");
    assert_int_equal(atomic_load(&tally.requests[storage][code_named("200")]), 2);
    assert_int_equal(atomic_load(&tally.requests[storage][code_named("other")]), 1);
    assert_int_equal(atomic_load(&tally.requests[ROUTE_COUNT][code_named("200")]), 1);
    assert_int_equal(atomic_load(&tally.requests[ROUTE_COUNT][code_named("505")]), 1);
    assert_int_equal(sum_of_requests(&tally), 5);
    assert_string_equal(route_path(ROUTE_COUNT), "other");
}

static void every_refusal_of_the_gate_has_a_count(void **state)
{
    struct tally tally = {0};
    (void)state;
    for (enum gate_refusal refusal = GATE_NOT_ALLOWED; refusal <= GATE_TOO_OFTEN; refusal++)
        tally_refusal(&tally, gate_refusal_name(refusal));
    assert_int_equal(atomic_load(&tally.refusals[0]), 0);
    tally_refusal(&tally, "whatever");
    assert_int_equal(atomic_load(&tally.refusals[0]), 1);
    for (size_t i = 0; i < TALLY_REASONS; i++)
        assert_true(atomic_load(&tally.refusals[i]) <= 1);
}

static void nobody_has_to_count(void **state)
{
    (void)state;
    tally_request(NULL, 0, 200);
    tally_refusal(NULL, "stranger");
    tally_handshake(NULL, TALLY_HANDSHAKE_LATE);
    tally_call(NULL, TALLY_FAILED);
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
