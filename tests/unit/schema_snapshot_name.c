/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/reply.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "tests/unit/test.h"

#define FORTY "a234567890123456789012345678901234567890"

#define LENGTH "a snapshot's name has 2 to 40 characters"
#define SHAPE  "a snapshot's name begins with a letter and goes on with letters, digits, _ and -"

static void test_accepted(void **state)
{
    (void)state;
    static const char *const names[] = {
        "ab", "A1", "before-update_2", "a-", "a_", "vzdump1", "currents", "pendin", FORTY,
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct error error = {.kind = ERROR_NONE};
        if (snapshot_name_check(names[i], &error) != 0)
            fail_test("%s: %s", names[i], error.message);
        assert_int_equal(error.kind, ERROR_NONE);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *message;
    } cases[] = {
        {"", LENGTH},
        {"a", LENGTH},
        {FORTY "1", LENGTH},
        {"1a", SHAPE},
        {"-a", SHAPE},
        {"_a", SHAPE},
        {"a b", SHAPE},
        {"ab\n", SHAPE},
        {"a.b", SHAPE},
        {"a/b", SHAPE},
        {"../x", SHAPE},
        {"a%41", SHAPE},
        {"a\xC3\xA9", SHAPE},
        {"\xC3\xA9t\xC3\xA9", SHAPE},
        {"current", "a snapshot cannot be named current: Proxmox uses that"},
        {"CURRENT", "a snapshot cannot be named current: Proxmox uses that"},
        {"Pending", "a snapshot cannot be named pending: Proxmox uses that"},
        {"vzDump", "a snapshot cannot be named vzdump: Proxmox uses that"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error error = {.kind = ERROR_NONE};
        assert_int_equal(snapshot_name_check(cases[i].name, &error), -1);
        assert_int_equal(error.kind, ERROR_INVALID);
        assert_string_equal(error.message, cases[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
