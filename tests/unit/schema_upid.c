/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/reply.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "tests/unit/test.h"

#define BACKUP "UPID:pve:0000A3F1:01B2C3D4:6553F100:vzdump:8200:felhom-agent@pve!agent:"

static void test_parts(void **state)
{
    (void)state;
    struct upid upid;
    assert_true(upid_parse(BACKUP, &upid));
    assert_string_equal(upid.node, "pve");
    assert_int_equal(upid.started_at, 1700000000);
    assert_string_equal(upid.type, "vzdump");
    assert_string_equal(upid.id, "8200");
    assert_string_equal(upid.user, "felhom-agent@pve!agent");
}

static void test_accepted(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "UPID:a:00000000:00000000:00000000:t::u@pam:", /* no id */
        "UPID:demo-felhom2:0000a3f1:01b2c3d4:6553f100:vzsnapshot:8200:root@pam:",
        "UPID:pve:0000A3F1:101B2C3D4:6553F100:vzdump:8200:root@pam:", /* up for long */
        "UPID:pve:0000A3F1:01B2C3D4:FFFFFFFF:imgcopy:local-lvm_x-1.2:a@b:",
        "UPID:pve:0000A3F1:01B2C3D4:6553F100:vzdump:8200:m\xC3\xBCller@pve:",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct upid upid;
        if (!upid_parse(texts[i], &upid))
            fail_test("refused: %s", texts[i]);
    }
}

static void test_late_start(void **state)
{
    (void)state;
    struct upid upid;
    assert_true(upid_parse("UPID:pve:0000A3F1:01B2C3D4:FFFFFFFF:vzdump:8200:a@b:", &upid));
    assert_true(upid.started_at == 0xFFFFFFFFLL);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "OK",
        "UPID",
        "UPID:",
        "UPID::::::::",
        "upid:pve:0000A3F1:01B2C3D4:6553F100:vzdump:8200:root@pam:",
        "UPID:pve:0000A3F1:01B2C3D4:6553F100:vzdump:8200:root@pam",    /* no last colon */
        "UPID:pve:0000A3F1:01B2C3D4:6553F100:vzdump:8200:root@pam:\n", /* more behind it */
        "UPID:pve:0000A3F1:01B2C3D4:6553F100:vzdump:8200:root@pam::",
        " UPID:pve:0000A3F1:01B2C3D4:6553F100:vzdump:8200:root@pam:",
        "UPID::0000A3F1:01B2C3D4:6553F100:vzdump:8200:root@pam:",
        "UPID:-pve:0000A3F1:01B2C3D4:6553F100:vzdump:8200:root@pam:",
        "UPID:pve-:0000A3F1:01B2C3D4:6553F100:vzdump:8200:root@pam:",
        "UPID:p.e:0000A3F1:01B2C3D4:6553F100:vzdump:8200:root@pam:",
        "UPID:pve:000A3F1:01B2C3D4:6553F100:vzdump:8200:root@pam:", /* seven digits */
        "UPID:pve:0000A3F1:1B2C3D4:6553F100:vzdump:8200:root@pam:",
        "UPID:pve:0000A3F1:0101B2C3D4:6553F100:vzdump:8200:root@pam:",
        "UPID:pve:0000A3F1:01B2C3D4:16553F100:vzdump:8200:root@pam:",
        "UPID:pve:0000A3G1:01B2C3D4:6553F100:vzdump:8200:root@pam:",
        "UPID:pve:0x00A3F1:01B2C3D4:6553F100:vzdump:8200:root@pam:",
        "UPID:pve:0000A3F1:01B2C3D4:-6553F10:vzdump:8200:root@pam:",
        "UPID:pve:0000A3F1:01B2C3D4:6553F100::8200:root@pam:",
        "UPID:pve:0000A3F1:01B2C3D4:6553F100:vzdump:8200::",
        "UPID:pve:0000A3F1:01B2C3D4:6553F100:vz dump:8200:root@pam:",
        "UPID:pve:0000A3F1:01B2C3D4:6553F100:vzdump:../8200:root@pam:",
        "UPID:pve:0000A3F1:01B2C3D4:6553F100:vzdump:8200:ro\tot@pam:",
        "UPID:pve:0000A3F1:01B2C3D4:6553F100:vzdump:8200:root@pam\r:",
        "UPID:pve:0000A3F1:01B2C3D4:6553F100:vzdump:8200:ro\x7Fot@pam:",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct upid upid = {.node = "untouched"};
        if (upid_parse(texts[i], &upid))
            fail_test("accepted: %s", texts[i]);
        assert_string_equal(upid.node, "untouched");
    }
}

/* UPID:NODE:...:TYPE:ID:USER: with that many letters each. */
static char *compose(size_t node, size_t type, size_t id, size_t user)
{
    char letters[300];
    memset(letters, 'a', sizeof letters);
    return mem_format("UPID:%.*s:0000A3F1:01B2C3D4:6553F100:%.*s:%.*s:%.*s:", (int)node, letters,
                      (int)type, letters, (int)id, letters, (int)user, letters);
}

static void test_bounds(void **state)
{
    (void)state;
    static const struct {
        size_t node, type, id, user;
        bool good;
    } cases[] = {
        {63, 31, 1, 100, true},   {64, 31, 1, 100, false}, {63, 32, 1, 100, false},
        {1, 1, 63, 127, true},    {1, 1, 64, 1, false},    {1, 1, 1, 128, false},
        {50, 20, 22, 127, true},  /* 255 */
        {50, 20, 23, 127, false}, /* 256 */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct upid upid;
        cleanup_free char *text = compose(cases[i].node, cases[i].type, cases[i].id, cases[i].user);
        if (upid_parse(text, &upid) != cases[i].good)
            fail_test("%zu bytes: %s", strlen(text), text);
    }
    cleanup_free char *longest = compose(50, 20, 22, 127);
    assert_int_equal(strlen(longest), UPID_SIZE - 1);
}

/* Every prefix of a UPID. */
static void test_cut(void **state)
{
    (void)state;
    for (size_t length = 0; length < strlen(BACKUP); length++) {
        struct upid upid;
        cleanup_free char *text = mem_copy_text_n(BACKUP, length);
        assert_false(upid_parse(text, &upid));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),      cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_late_start), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounds),     cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
