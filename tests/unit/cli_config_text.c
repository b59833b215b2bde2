/* SPDX-License-Identifier: Apache-2.0 */
/* Edits of a guest's configuration: which lines count, and that all other lines stay byte for
 * byte. */
#include "cli/pve/config.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "tests/unit/test.h"

static struct buffer text_of(const char *text)
{
    struct buffer buffer = BUFFER_EMPTY;
    buffer_add_text(&buffer, text);
    return buffer;
}

/* Returns "key=value;" for each live line that has a key. */
static void assert_lines(const char *text, const char *expected)
{
    cleanup_buffer struct buffer buffer = text_of(text);
    cleanup_buffer struct buffer seen = BUFFER_EMPTY;
    for (struct config_line line = {0}; config_line_next(&buffer, &line);) {
        cleanup_free char *key = config_line_key(&buffer, &line);
        cleanup_free char *value = config_line_value(&buffer, &line);
        if (*key)
            buffer_add_format(&seen, "%s=%s;", key, value);
    }
    assert_string_equal(buffer_text(&seen), expected);
}

static void lines_are_read_as_proxmox_reads_them(void **state)
{
    (void)state;
    assert_lines("", "");
    assert_lines("a: b\n", "a=b;");
    assert_lines("a: b", "a=b;");
    assert_lines("a:b  \t\nmp12:   x y \n", "a=b;mp12=x y;");
    assert_lines("a: b\r\nc: d\r\n", "a=b;c=d;");
    assert_lines("lxc.mount.entry: a b\nlxc.x = y\nlxc.x  =z\nlxc.x :w\n",
                 "lxc.mount.entry=a b;lxc.x=y;lxc.x=z;");
    assert_lines("#mp0: x\n mp1: x\nMP2: x\nm-p: x\nmp3x: x\n: x\nmp4 : x\nlxc.: x\nmp = x\n", "");
    assert_lines("hookscript:\n", "hookscript=;");
}

static void the_live_section_ends_at_the_first_real_section(void **state)
{
    (void)state;
    assert_lines("a: b\n[snap]\nc: d\n", "a=b;");
    assert_lines("a: b\n[PVE:pending]  \r\nc: d\n", "a=b;");
    assert_lines("[s1]\nc: d\n", "");
    assert_lines("a: b\n[special:cloudinit]\nc: d\n", "a=b;");
    /* No snapshot can have such a name: one letter, a leading digit, no end, leading or inner
     * blanks. */
    assert_lines("[s]\n[1a]\n[snap\n [snap]\n[sn ap]\n[x:y]\na: b\n", "a=b;");
}

static void assert_inserted(const char *before, const char *after)
{
    cleanup_buffer struct buffer buffer = text_of(before);
    config_text_insert(&buffer, "mp0", "x");
    assert_string_equal(buffer_text(&buffer), after);
    struct config_line line = {0};
    while (config_line_next(&buffer, &line)) {
        cleanup_free char *value = config_line_value(&buffer, &line);
        cleanup_free char *key = config_line_key(&buffer, &line);
        if (strcmp(value, "x") == 0 && strcmp(key, "mp0") == 0)
            config_text_remove(&buffer, &line);
    }
    assert_string_equal(buffer_text(&buffer), before);
}

static void insertion_keeps_all_else_and_can_be_undone(void **state)
{
    (void)state;
    assert_inserted("", "mp0: x\n");
    assert_inserted("a: b\n", "a: b\nmp0: x\n");
    assert_inserted("a: b", "a: b\nmp0: x");
    assert_inserted("a: b\r\n", "a: b\r\nmp0: x\r\n");
    assert_inserted("a: b\r\nc: d", "a: b\r\nc: d\r\nmp0: x");
    assert_inserted("a: b\r", "a: b\r\r\nmp0: x");
    assert_inserted("a: b\n\n\n", "a: b\nmp0: x\n\n\n");
    assert_inserted("#note\na: b\n\n[snap]\na: c\n", "#note\na: b\nmp0: x\n\n[snap]\na: c\n");
    assert_inserted("[snap]\na: c", "mp0: x\n[snap]\na: c");
    assert_inserted("\n \n[snap]\n", "mp0: x\n\n \n[snap]\n");
    assert_inserted("a: b\n[snap", "a: b\n[snap\nmp0: x");
}

static void removal_goes_on_behind_the_line(void **state)
{
    (void)state;
    static const struct {
        const char *before;
        const char *after;
    } cases[] = {
        {"mp0: x\nmp1: x\na: b\n", "a: b\n"},
        {"a: b\nmp0: x\nmp1: x", "a: b"},
        {"mp0: x", ""},
        {"a: b\r\nmp0: x\r\n[snap]\r\nmp0: x\r\n", "a: b\r\n[snap]\r\nmp0: x\r\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_buffer struct buffer buffer = text_of(cases[i].before);
        for (struct config_line line = {0}; config_line_next(&buffer, &line);)
            if (strncmp(buffer_text(&buffer) + line.start, "mp", 2) == 0)
                config_text_remove(&buffer, &line);
        assert_string_equal(buffer_text(&buffer), cases[i].after);
    }
}

static void a_mention_in_any_section_counts(void **state)
{
    (void)state;
    cleanup_buffer struct buffer buffer = text_of("mp1: a\n#mp2: b\n[snap]\nmp30: c\n");
    assert_true(config_text_mentions(&buffer, "mp1"));
    assert_true(config_text_mentions(&buffer, "mp30"));
    assert_false(config_text_mentions(&buffer, "mp2"));
    assert_false(config_text_mentions(&buffer, "mp3"));
    assert_false(config_text_mentions(&buffer, "mp0"));
}

static void assert_unpended(const char *before, const char *after)
{
    cleanup_buffer struct buffer buffer = text_of(before);
    config_text_unpend(&buffer, "mp0");
    assert_string_equal(buffer_text(&buffer), after);
}

static void a_pending_change_is_taken_out(void **state)
{
    (void)state;
    assert_unpended("mp0: a\n[pve:pending]\ndelete: mp0\n", "mp0: a\n[pve:pending]\n");
    assert_unpended("[pve:pending]\ndelete: mp1,!mp0;mp2 mp00\n",
                    "[pve:pending]\ndelete: mp1,mp2,mp00\n");
    assert_unpended("[PVE:Pending]\nmp0: b\nmp01: c\n", "[PVE:Pending]\nmp01: c\n");
    assert_unpended("[pve:pending]\ndelete: !mp1\n", "[pve:pending]\ndelete: !mp1\n");
    assert_unpended("delete: mp0\n[snap]\ndelete: mp0\nmp0: a\n",
                    "delete: mp0\n[snap]\ndelete: mp0\nmp0: a\n");
    assert_unpended("[pve:pending]\ndelete: mp0", "[pve:pending]\n");
    /* A section of Proxmox's for virtual machines; in a container it is none. */
    assert_unpended("[pve:pending]\n[special:cloudinit]\nmp0: a\n",
                    "[pve:pending]\n[special:cloudinit]\n");
    assert_unpended("", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_read_as_proxmox_reads_them),
        cmocka_unit_test(the_live_section_ends_at_the_first_real_section),
        cmocka_unit_test(insertion_keeps_all_else_and_can_be_undone),
        cmocka_unit_test(removal_goes_on_behind_the_line),
        cmocka_unit_test(a_mention_in_any_section_counts),
        cmocka_unit_test(a_pending_change_is_taken_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
