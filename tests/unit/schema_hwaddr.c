/* SPDX-License-Identifier: Apache-2.0 */
/* Hardware addresses and VMIDs. */
#include "schema/base/address.h"
#include "schema/base/cleanup.h"
#include "schema/base/vmid.h"
#include "tests/unit/test.h"

static void test_hwaddr_reads_either_case(void **state)
{
    (void)state;
    struct hwaddr upper;
    struct hwaddr lower;
    char text[HWADDR_TEXT_SIZE];
    assert_true(hwaddr_parse("BC:24:11:09:CE:72", &upper));
    assert_true(hwaddr_parse("bc:24:11:09:ce:72", &lower));
    assert_memory_equal(&upper, &lower, sizeof upper);
    hwaddr_format(&lower, text);
    assert_string_equal(text, "BC:24:11:09:CE:72");
}

static void test_hwaddr_tells_addresses_apart(void **state)
{
    (void)state;
    struct hwaddr a;
    struct hwaddr b;
    assert_true(hwaddr_parse("00:00:00:00:00:00", &a));
    assert_true(hwaddr_parse("00:00:00:00:00:01", &b));
    assert_memory_not_equal(&a, &b, sizeof a);
    assert_int_equal(b.bytes[5], 1);
}

static void test_hwaddr_refuses_anything_else(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "B",
        "BC",
        "BC:",
        "BC:24:11:09:CE",
        "BC:24:11:09:CE:",
        "BC:24:11:09:CE:7",
        "BC:24:11:09:CE:72 ",
        " BC:24:11:09:CE:72",
        "BC:24:11:09:CE:72:00",
        "BC-24-11-09-CE-72",
        "BC:24:11:09:CE:7G",
        "BC:24:11:09:CE:/7",
        "BC2411:09:CE:72",
        "B:24:11:09:CE:72",
        "+C:24:11:09:CE:72",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct hwaddr hwaddr = {{9, 9, 9, 9, 9, 9}};
        const struct hwaddr untouched = hwaddr;
        assert_false(hwaddr_parse(bad[i], &hwaddr));
        assert_memory_equal(&hwaddr, &untouched, sizeof hwaddr);
    }
}

static void test_vmid_reads_the_whole_range(void **state)
{
    (void)state;
    uint32_t vmid = 0;
    assert_true(vmid_parse("100", &vmid));
    assert_int_equal(vmid, VMID_MIN);
    assert_true(vmid_parse("8200", &vmid));
    assert_int_equal(vmid, 8200);
    assert_true(vmid_parse("999999999", &vmid));
    assert_int_equal(vmid, VMID_MAX);
}

static void test_vmid_refuses_anything_else(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "0",
                                      "1",
                                      "99",
                                      "099",
                                      "0100",
                                      "+100",
                                      "-100",
                                      " 100",
                                      "100 ",
                                      "1000000000",
                                      "100a",
                                      "1e5",
                                      "0x64",
                                      "100\n",
                                      "10.0",
                                      "99999999999999999999"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        uint32_t vmid = 7;
        assert_false(vmid_parse(bad[i], &vmid));
        assert_int_equal(vmid, 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hwaddr_reads_either_case),
        cmocka_unit_test(test_hwaddr_tells_addresses_apart),
        cmocka_unit_test(test_hwaddr_refuses_anything_else),
        cmocka_unit_test(test_vmid_reads_the_whole_range),
        cmocka_unit_test(test_vmid_refuses_anything_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
