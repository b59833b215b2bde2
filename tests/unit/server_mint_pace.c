/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/registry.h"

#include "schema/base/units.h"
#include "tests/unit/test.h"

static struct mint_pace pace;

static int set_up(void **state)
{
    (void)state;
    mint_pace_init(&pace);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mint_pace_destroy(&pace);
    return 0;
}

static void test_once_in_five_seconds(void **state)
{
    (void)state;
    assert_int_equal(mint_pace_take(&pace, 8200, 1), 0);
    assert_int_equal(mint_pace_take(&pace, 8200, 1), 5);
    assert_int_equal(mint_pace_take(&pace, 8200, 2), 5);
    assert_int_equal(mint_pace_take(&pace, 8200, 1 + SECOND_US), 4);
    assert_int_equal(mint_pace_take(&pace, 8200, 5 * SECOND_US), 1);
    assert_int_equal(mint_pace_take(&pace, 8200, 1 + 5 * SECOND_US), 0);
    assert_int_equal(mint_pace_take(&pace, 8200, 2 + 5 * SECOND_US), 5);
}

static void test_asking_too_early_delays_nothing(void **state)
{
    (void)state;
    assert_int_equal(mint_pace_take(&pace, 8200, 0), 0);
    for (int64_t now_us = 1; now_us < 5 * SECOND_US; now_us += 1000)
        assert_int_not_equal(mint_pace_take(&pace, 8200, now_us), 0);
    assert_int_equal(mint_pace_take(&pace, 8200, 5 * SECOND_US), 0);
}

static void test_each_guest_by_itself(void **state)
{
    (void)state;
    for (uint32_t vmid = 100; vmid < 400; vmid++)
        assert_int_equal(mint_pace_take(&pace, vmid, vmid), 0);
    for (uint32_t vmid = 100; vmid < 400; vmid++)
        assert_int_equal(mint_pace_take(&pace, vmid, 400), 5);
}

static void test_nothing_is_kept_of_those_that_may(void **state)
{
    (void)state;
    for (uint32_t vmid = 100; vmid < 400; vmid++)
        (void)mint_pace_take(&pace, vmid, 0);
    assert_int_equal(pace.count, 300);
    (void)mint_pace_take(&pace, 8200, 5 * SECOND_US);
    assert_int_equal(pace.count, 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_once_in_five_seconds),
        TEST(test_asking_too_early_delays_nothing),
        TEST(test_each_guest_by_itself),
        TEST(test_nothing_is_kept_of_those_that_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
