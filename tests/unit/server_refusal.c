/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/refusal.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "schema/base/units.h"
#include "tests/unit/test.h"

static int set_up(void **state)
{
    *state = refusals_new();
    return 0;
}

static int tear_down(void **state)
{
    refusals_free(*state);
    return 0;
}

static struct peer peer_at(uint32_t address)
{
    return (struct peer){.address.sin_addr.s_addr = htonl(address)};
}

static void test_one_a_minute_with_its_count(void **state)
{
    const struct peer peer = peer_at(1);
    assert_int_equal(refusals_count(*state, &peer, REFUSAL_NO_TOKEN, 1), 1);
    assert_int_equal(refusals_count(*state, &peer, REFUSAL_NO_TOKEN, 2), 0);
    assert_int_equal(refusals_count(*state, &peer, REFUSAL_NO_TOKEN, 60 * SECOND_US), 0);
    assert_int_equal(refusals_count(*state, &peer, REFUSAL_NO_TOKEN, 60 * SECOND_US + 1), 3);
    assert_int_equal(refusals_count(*state, &peer, REFUSAL_NO_TOKEN, 60 * SECOND_US + 2), 0);
}

static void test_sources_and_reasons_apart(void **state)
{
    const struct peer a = peer_at(1);
    const struct peer b = peer_at(2);
    assert_int_equal(refusals_count(*state, &a, REFUSAL_NO_TOKEN, 1), 1);
    assert_int_equal(refusals_count(*state, &a, REFUSAL_REVOKED_TOKEN, 1), 1);
    assert_int_equal(refusals_count(*state, &b, REFUSAL_NO_TOKEN, 1), 1);
    assert_int_equal(refusals_count(*state, &b, REFUSAL_NO_TOKEN, 1), 0);
}

static void test_a_source_is_its_hwaddr_if_known(void **state)
{
    struct peer a = peer_at(1);
    struct peer b = peer_at(2);
    a.has_hwaddr = b.has_hwaddr = true;
    assert_int_equal(refusals_count(*state, &a, REFUSAL_NO_TOKEN, 1), 1);
    assert_int_equal(refusals_count(*state, &b, REFUSAL_NO_TOKEN, 1), 0);
}

static void test_many_sources_cannot_flood(void **state)
{
    int told = 0;
    for (uint32_t i = 1; i <= 5000; i++) {
        const struct peer peer = peer_at(i);
        told += refusals_count(*state, &peer, REFUSAL_NO_TOKEN, i) > 0;
    }
    assert_int_equal(told, 257);
    /* A minute later other sources can use the rows. */
    const struct peer late = peer_at(6000);
    assert_int_equal(refusals_count(*state, &late, REFUSAL_NO_TOKEN, 61 * SECOND_US), 1);
}

static uint32_t explain(void *refusals, uint32_t address, int times, int64_t now_us)
{
    uint32_t count = 0;
    const struct peer peer = peer_at(address);
    for (int i = 0; i < times; i++)
        count += refusals_may_explain(refusals, &peer, now_us);
    return count;
}

static void test_ten_of_a_source_are_explained(void **state)
{
    assert_int_equal(explain(*state, 1, 1000, 1), 10);
    assert_int_equal(explain(*state, 2, 1, 1), 1);
    assert_int_equal(explain(*state, 1, 1000, 6 * SECOND_US), 0);
    assert_int_equal(explain(*state, 1, 1000, 7 * SECOND_US), 1);
    assert_int_equal(explain(*state, 1, 1000, 600 * SECOND_US), 10);
}

static void test_many_sources_are_not_all_explained(void **state)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i <= 5000; i++)
        count += explain(*state, i, 10, 1);
    assert_int_equal(count, 240);
    assert_int_equal(explain(*state, 6000, 10, 61 * SECOND_US), 10);
}

static struct peer guest(uint32_t vmid)
{
    struct peer peer = peer_at(1);
    peer.identity = PEER_GUEST;
    peer.vmid = vmid;
    return peer;
}

/* A stranger with many addresses cannot keep a guest's refusals out of log, trail and explain. */
static void test_strangers_take_no_guests_place(void **state)
{
    const struct peer of_8200 = guest(8200);
    const struct peer of_8300 = guest(8300);
    for (uint32_t i = 1; i <= 5000; i++) {
        const struct peer peer = peer_at(i);
        (void)refusals_count(*state, &peer, REFUSAL_NO_TOKEN, 1);
        (void)explain(*state, i, 10, 1);
    }
    assert_int_equal(refusals_count(*state, &of_8200, REFUSAL_NO_TOKEN, 2), 1);
    assert_int_equal(refusals_count(*state, &of_8300, REFUSAL_NO_TOKEN, 2), 1);
    assert_true(refusals_may_explain(*state, &of_8200, 2));
    assert_true(refusals_may_explain(*state, &of_8300, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_a_minute_with_its_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sources_and_reasons_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_source_is_its_hwaddr_if_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_sources_cannot_flood, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ten_of_a_source_are_explained, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_sources_are_not_all_explained, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_strangers_take_no_guests_place, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
