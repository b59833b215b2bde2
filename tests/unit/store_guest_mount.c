/* SPDX-License-Identifier: Apache-2.0 */
/* Which mounts would give a guest another guest's secrets. */
#include "schema/base/buffer.h"
#include "store/files/guest_mount.h"
#include "tests/unit/scratch.h"

#define OWN 8200

static struct config config;

static int set_up(void **state)
{
    struct error error;
    if (scratch_make(state) < 0)
        return -1;
    cleanup_free char *text =
        mem_format("paths: {guests: %s/run/guests, export: %s/run/export}\n", scratch, scratch);
    shell("mkdir -p run/guests/8300 run/export/8300 else && ln -s run link");
    return config_parse("agent.yaml", text, strlen(text), &config, &error);
}

static int tear_down(void **state)
{
    config_free(&config);
    return scratch_remove(state);
}

/* Checks a configuration of one line, in which @ stands for the scratch root, and ~ for the scratch
 * root without its slash, which is a relative path. */
static int judge(const char *line, enum mount_form *ret_form, struct error *error)
{
    cleanup(guest_config_free) struct guest_config guest = {0};
    struct guest_mount own;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    for (const char *c = line; *c; c++)
        if (*c == '@')
            buffer_add_text(&text, scratch);
        else if (*c == '~')
            buffer_add_text(&text, scratch + 1);
        else
            buffer_add(&text, c, 1);
    assert_int_equal(guest_config_parse(GUEST_LXC, buffer_text(&text), text.length, &guest, error),
                     0);
    int result = guest_mount_check(&config, OWN, &guest, &own, error);
    if (result == 0)
        *ret_form = own.form;
    return result;
}

static void test_foreign_lines_are_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "mp0: @/run/guests/8300,mp=/etc/felhom-bootstrap",
        "mp0: @/run/export/8300,mp=/etc/felhom-bootstrap",
        "mp0: @/run/guests/8300/token,mp=/x",
        "mp0: @/run/guests/8301,mp=/x",
        "mp0: @/run//guests/8300//,mp=/x",
        "mp0: @/link/guests/8300,mp=/x",
        "mp0: @/run/guests,mp=/x",
        "mp0: @/run,mp=/x",
        "mp0: @,mp=/x",
        "lxc.mount.entry: @/run/export/8300 etc/x none bind,ro 0 0",
        "lxc.mount.entry = @/run/guests/8300 etc/x none bind 0 0",
        "lxc.mount.entry: @/else/../run/guests/8300 etc/x none bind 0 0",
        "lxc.mount.entry: @/run/guests/\\0708300 etc/x none bind 0 0", /* \\070 is 8: guest 88300 */
        "lxc.mount.entry:  \t@/run/guests/8300\tetc/x none bind 0 0",
        "lxc.mount.entry: / mnt none rbind 0 0",
        "lxc.mount.entry: ~/run/guests/8300 etc/x none bind 0 0",
        "lxc.mount.entry: ../../~/link/export/8300 etc/x none bind 0 0",
        "lxc.mount.entry: . mnt none rbind 0 0",
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct error error = {0};
        enum mount_form form;
        if (judge(lines[i], &form, &error) == 0)
            fail_test("not refused: %s", lines[i]);
        assert_int_equal(error.kind, ERROR_FOREIGN);
        assert_non_null(strstr(error.message, "felhomctl enroll 8200"));
    }
}

static void test_other_lines_are_fine(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum mount_form form;
    } cases[] = {
        {"mp0: @/run/guests/8200,mp=/etc/felhom-bootstrap", MOUNT_FORM_MP},
        {"lxc.mount.entry: @/run/export/8200 etc/felhom-bootstrap none bind,ro 0 0",
         MOUNT_FORM_ENTRY},
        {"mp0: @/else,mp=/x", MOUNT_FORM_NONE},
        {"mp0: @/run/guestsandmore/8300,mp=/x", MOUNT_FORM_NONE},
        {"mp0: @/run/guests/readme,mp=/x", MOUNT_FORM_NONE},
        {"mp0: local-lvm:vm-8300-disk-0,mp=/x", MOUNT_FORM_NONE},
        {"mp0: /dev/sdb1,mp=/x", MOUNT_FORM_NONE},
        {"lxc.mount.entry: ~/run/export/8200 etc/felhom-bootstrap none bind,ro 0 0",
         MOUNT_FORM_ENTRY},
        {"lxc.mount.entry: proc proc proc nodev 0 0", MOUNT_FORM_NONE},
        {"lxc.mount.entry: tmpfs run tmpfs nodev 0 0", MOUNT_FORM_NONE},
        {"lxc.mount.entry:", MOUNT_FORM_NONE},
        {"hostname: plain", MOUNT_FORM_NONE},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error error = {0};
        enum mount_form form;
        if (judge(cases[i].line, &form, &error) < 0)
            fail_test("refused: %s: %s", cases[i].line, error.message);
        assert_int_equal(form, cases[i].form);
    }
}

static void test_message_names_mount_and_cure(void **state)
{
    (void)state;
    struct error error = {0};
    enum mount_form form;
    assert_int_equal(judge("mp3: @/run/guests/8300,mp=/x", &form, &error), -1);
    assert_non_null(strstr(error.message, "mp3 mounts the directory of guest 8300"));
    assert_non_null(strstr(error.message, "pct set 8200 --delete mp3"));
    assert_int_equal(judge("lxc.mount.entry: @/run/guests/8300 x none bind 0 0", &form, &error),
                     -1);
    assert_non_null(strstr(error.message, " (/tmp/"));
}

static void test_sources_of_entries(void **state)
{
    static const struct {
        const char *value;
        const char *source;
    } cases[] = {
        {"/a /b none bind 0 0", "/a"},
        {" \t/a\t/b", "/a"},
        {"/a", "/a"},
        {"", ""},
        {"/with\\040blank x", "/with blank"},
        {"/with\\011tab x", "/with\ttab"},
        {"/back\\134slash x", "/back\\slash"},
        {"/end\\040 x", "/end "},
        {"/cut\\04 x", "/cut\\04"},
        {"/cut\\ x", "/cut\\"},
        {"/not\\089octal x", "/not\\089octal"},
        {"/not\\477octal x", "/not\\477octal"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *source = guest_mount_entry_source(cases[i].value);
        assert_string_equal(source, cases[i].source);
    }
}

static void test_owners_of_paths(void **state)
{
    static const struct {
        const char *path;
        uint32_t vmid; /* 0: nobody's */
    } cases[] = {
        {"/run/guests/8300", 8300},
        {"/run/export/8300", 8300},
        {"/run//guests///8300/", 8300},
        {"/run/guests/8300/token", 8300},
        {"/run/guests/./8300", 8300},
        {"/run/else/../guests/8300", 8300},
        {"/run/guests/8301/../8300", 8300},
        {"/run/guests/8300/..", 0},
        {"/run/guests", 0},
        {"/run/guests/", 0},
        {"/run/guests/8300x", 0},
        {"/run/guests/ 8300", 0},
        {"/run/guestsandmore/8300", 0},
        {"run/guests/8300", 8300},
        {"run/export/8300", 8300},
        {"proc", 0},
        {"", 0},
    };
    static const char text[] = "paths: {guests: /run/guests, export: /run/export}\n";
    struct error error;
    cleanup(config_free) struct config fixed = {0};
    (void)state;
    assert_int_equal(config_parse("agent.yaml", text, strlen(text), &fixed, &error), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint32_t vmid = 0;
        bool is_owned = guest_mount_path_owner(&fixed, cases[i].path, &vmid);
        if (is_owned != (cases[i].vmid != 0) || (is_owned && vmid != cases[i].vmid))
            fail_test("%s: %d, guest %u", cases[i].path, is_owned, vmid);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources_of_entries),
        cmocka_unit_test(test_owners_of_paths),
        cmocka_unit_test_setup_teardown(test_foreign_lines_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_lines_are_fine, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_message_names_mount_and_cure, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
