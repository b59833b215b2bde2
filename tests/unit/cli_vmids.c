/* SPDX-License-Identifier: Apache-2.0 */
/* The message about the guests for which a verb failed. */
#include "cli/base/steps.h"

#include "schema/base/cleanup.h"
#include "tests/unit/test.h"

static void test_none(void **state)
{
    struct error error;
    (void)state;
    assert_int_equal(
        steps_fail_guests(&(struct vmids){0}, "not all tokens could be rotated", &error), 0);
}

static void test_some(void **state)
{
    struct error error;
    cleanup(vmids_free) struct vmids failed = {0};
    (void)state;
    vmids_add(&failed, 8200);
    assert_int_equal(steps_fail_guests(&failed, "not all tokens could be rotated", &error), -1);
    assert_int_equal(error.kind, ERROR_CONFLICT);
    assert_string_equal(error.message, "not all tokens could be rotated: guest 8200");
    vmids_add(&failed, 100);
    assert_int_equal(steps_fail_guests(&failed, "not all directories could be updated", &error),
                     -1);
    assert_string_equal(error.message, "not all directories could be updated: guests 8200, 100");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
