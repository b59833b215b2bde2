/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/host/figures.h"

#include <stdio.h>
#include <string.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "tests/unit/test.h"

#define cleanup_storages cleanup(rrd_storages_free)

/* "NAME AT TOTAL USED\n" of each storage of node pve1. */
static void assert_storages_n(const char *text, size_t length, const char *expected)
{
    cleanup_storages struct rrd_storages storages = {0};
    cleanup_buffer struct buffer found = BUFFER_EMPTY;
    rrd_dump_storages(text, length, "pve1", &storages);
    for (size_t i = 0; i < storages.count; i++) {
        const struct rrd_storage *storage = &storages.items[i];
        buffer_add_format(&found, "%s %lld %lld %lld\n", storage->storage, (long long)storage->at,
                          (long long)storage->total_bytes, (long long)storage->used_bytes);
    }
    assert_string_equal(buffer_text(&found), expected);
}

static void assert_storages(const char *text, const char *expected)
{
    assert_storages_n(text, strlen(text), expected);
}

static void test_storages_among_everything_else(void **state)
{
    (void)state;
    static const char dump[] =
        "pve-node-9.0/pve1:12345:1795428001:0.1:8:0.02:0:16657367040:5239513088:0:0:1:2:3:4\n"
        "pve-storage-9.0/pve1/local:1795428003:100861726720:25769803776\n"
        "pve-vm-9.0/8200:443:guest8200:running:0:1795428002:2:0.01:536870912:70000:1:2:3:4:5\n"
        "pve-storage-9.0/pve2/local:1795428003:1:1\n"
        "pve-storage-9.0/pve1/local-lvm:1795428004:367108554752:0\n"
        "pve2-storage/pve1/usb_backup.2:1795428005:2000398934016:1000199467008\n";
    /* The array's NUL is pmxcfs's too. */
    assert_storages_n(dump, sizeof dump,
                      "local 1795428003 100861726720 25769803776\n"
                      "local-lvm 1795428004 367108554752 0\n"
                      "usb_backup.2 1795428005 2000398934016 1000199467008\n");
}

static void test_newest_line_wins(void **state)
{
    (void)state;
    assert_storages("pve2-storage/pve1/a:100:1:1\npve-storage-9.0/pve1/a:300:3:3\n"
                    "pve-storage-9.0/pve1/b:7:7:7\npve-storage-9.0/pve1/a:200:2:2\n",
                    "a 300 3 3\nb 7 7 7\n");
}

static void test_a_later_version(void **state)
{
    (void)state;
    assert_storages("pve-storage-10.1/pve1/a:100:2:1:9:9\n", "a 100 2 1\n");
}

static void test_what_is_not_known(void **state)
{
    (void)state;
    assert_storages("pve2-storage/pve1/a:100:U:U\n", "a 100 -1 -1\n");
    assert_storages("pve2-storage/pve1/a:100:2\n", "a 100 2 -1\n");
    assert_storages("pve2-storage/pve1/a:100\n", "a 100 -1 -1\n");
    assert_storages("pve2-storage/pve1/a:100::5\n", "a 100 -1 5\n");
    assert_storages("pve2-storage/pve1/a:100:-5: 5\n", "a 100 -1 -1\n");
    assert_storages("pve2-storage/pve1/a:100:0x10:5 \n", "a 100 -1 -1\n");
    assert_storages("pve2-storage/pve1/a:100:nan:inf\n", "a 100 -1 -1\n");
    assert_storages("pve2-storage/pve1/a:100:1e400:9999999999999999999\n", "a 100 -1 -1\n");
    assert_storages("pve2-storage/pve1/a:100:1e:1.2.3\n", "a 100 -1 -1\n");
    assert_storages("pve2-storage/pve1/a:100:00000000000000000000000000000001:1\n", "a 100 -1 1\n");
}

static void test_numbers_as_perl_writes_them(void **state)
{
    (void)state;
    assert_storages("pve2-storage/pve1/a:100:1.5e+15:1234.9\n", "a 100 1500000000000000 1234\n");
    assert_storages("pve2-storage/pve1/a:100:9007199254740993:9007199254740991\n",
                    "a 100 9007199254740992 9007199254740991\n");
}

static void test_garbage_is_passed_over(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "\n\n\n",
        "pve2-storage/pve1/a:U:1:1\n",
        "pve2-storage/pve1/a:0:1:1\n",
        "pve2-storage/pve1/a:253402300800:1:1\n",
        "pve2-storage/pve1/a\n",
        "pve2-storage/pve1/:100:1:1\n",
        "pve2-storage/pve1:100:1:1\n",
        "pve2-storage/pve/a:100:1:1\n",
        "pve2-storage/pve11/a:100:1:1\n",
        "pve2-storage//a:100:1:1\n",
        "pve2-storage/pve1/a/b:100:1:1\n",
        "pve2-storage/pve1/a b:100:1:1\n",
        "pve2-storage/pve1/\xc3\xa4:100:1:1\n",
        "pve2-storages/pve1/a:100:1:1\n",
        "pve-storage/pve1/a:100:1:1\n",
        "xpve2-storage/pve1/a:100:1:1\n",
        " pve2-storage/pve1/a:100:1:1\n",
        "/pve1/a:100:1:1\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        assert_storages(lines[i], "");
}

static void test_a_cut_end(void **state)
{
    (void)state;
    static const char line[] = "pve2-storage/pve1/a:100:22:11";
    assert_storages_n(line, sizeof line - 1, "a 100 22 11\n");
    assert_storages_n(line, sizeof line - 4, "a 100 22 -1\n");
    assert_storages_n(line, 20, "");
    assert_storages_n(line, 0, "");
    assert_storages_n("pve2-storage/pve1/\0a:100:1:1", 27, "");
    assert_storages_n("pve2-storage/pve1/a:100:1\0:1", 28, "a 100 -1 1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storages_among_everything_else),
        cmocka_unit_test(test_newest_line_wins),
        cmocka_unit_test(test_a_later_version),
        cmocka_unit_test(test_what_is_not_known),
        cmocka_unit_test(test_numbers_as_perl_writes_them),
        cmocka_unit_test(test_garbage_is_passed_over),
        cmocka_unit_test(test_a_cut_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
