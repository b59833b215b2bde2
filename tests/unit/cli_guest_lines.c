/* SPDX-License-Identifier: Apache-2.0 */
/* What enroll and unenroll change in the text of a guest's configuration. */
#include "cli/pve/guest_lines.h"

#include <string.h>

#include "schema/agent/config.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "tests/unit/test.h"

#define HOOK "hookscript: local:snippets/felhom-hook\n"
#define ENTRY \
    "lxc.mount.entry: /run/felhom-agent/export/8200 etc/felhom-bootstrap none " \
    "bind,ro,create=dir,optional 0 0\n"
#define MP \
    "/run/felhom-agent/guests/8200,mp=/etc/felhom-bootstrap,ro=1,backup=0,replicate=0,shared=1\n"

static struct config config;

static int setup(void **state)
{
    struct error error;
    (void)state;
    return config_parse("agent.yaml", "", 0, &config, &error);
}

static int teardown(void **state)
{
    (void)state;
    config_free(&config);
    return 0;
}

static struct guest_lines_desired desired_of(enum mount_form form)
{
    return (struct guest_lines_desired){
        .config = &config, .vmid = 8200, .hookscript = true, .form = form};
}

static void assert_applied(const struct guest_lines_desired *desired, const char *before,
                           const char *after)
{
    struct error error = {0};
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(line_changes_free) struct line_changes changes = {0};
    cleanup(line_changes_free) struct line_changes again = {0};
    buffer_add_text(&text, before);
    assert_int_equal(guest_lines_apply(desired, &text, &changes, &error), 0);
    assert_string_equal(buffer_text(&text), after);
    assert_int_equal(changes.edited, strcmp(before, after) != 0);
    if (desired->by_command)
        return;
    assert_int_equal(guest_lines_apply(desired, &text, &again, &error), 0);
    assert_int_equal(again.count, 0);
    assert_false(again.edited);
}

static void lines_are_added_once(void **state)
{
    (void)state;
    struct guest_lines_desired entry = desired_of(MOUNT_FORM_ENTRY);
    struct guest_lines_desired mp = desired_of(MOUNT_FORM_MP);
    struct guest_lines_desired none = desired_of(MOUNT_FORM_NONE);
    assert_applied(&entry, "a: b\n", "a: b\n" HOOK ENTRY);
    assert_applied(&mp, "a: b\n", "a: b\n" HOOK "mp0: " MP);
    assert_applied(&none, "a: b\n", "a: b\n" HOOK);
    assert_applied(&entry, "a: b\n" HOOK ENTRY, "a: b\n" HOOK ENTRY);
    assert_applied(&mp, "mp0: l:x,mp=/a\n[snap]\nmp1: l:y,mp=/b\n",
                   "mp0: l:x,mp=/a\n" HOOK "mp2: " MP "[snap]\nmp1: l:y,mp=/b\n");
}

static void the_form_is_switched(void **state)
{
    (void)state;
    struct guest_lines_desired entry = desired_of(MOUNT_FORM_ENTRY);
    struct guest_lines_desired mp = desired_of(MOUNT_FORM_MP);
    assert_applied(&mp, HOOK ENTRY, HOOK "mp0: " MP);
    assert_applied(&entry, HOOK "mp0: " MP, HOOK ENTRY);
    assert_applied(&entry, HOOK ENTRY "mp0: " MP, HOOK ENTRY);
    assert_applied(&entry, HOOK ENTRY ENTRY, HOOK ENTRY);
}

static void lines_of_a_clone_are_mended(void **state)
{
    (void)state;
    struct guest_lines_desired entry = desired_of(MOUNT_FORM_ENTRY);
    struct guest_lines_desired mp = desired_of(MOUNT_FORM_MP);
    assert_applied(&entry,
                   HOOK "lxc.mount.entry: /run/felhom-agent/export/8300 etc/x none bind 0 0\n",
                   HOOK ENTRY);
    assert_applied(&entry, HOOK "lxc.mount.entry = /run/felhom-agent/guests//8300/ x none bind\n",
                   HOOK ENTRY);
    assert_applied(&mp, HOOK "mp3: mp=/x,volume=/run/felhom-agent/guests/8300\n", HOOK "mp0: " MP);
    assert_applied(&mp, HOOK "mp0: /run/felhom-agent/guests/8200,mp=/etc/felhom-bootstrap\n",
                   HOOK "mp0: " MP);
}

static void what_an_operator_or_proxmox_wrote_is_right(void **state)
{
    (void)state;
    struct guest_lines_desired mp = desired_of(MOUNT_FORM_MP);
    const char *sorted =
        HOOK "mp7: /run/felhom-agent/guests/8200,mp=/etc/felhom-bootstrap,backup=0,"
             "mountoptions=noexec,replicate=0,ro=1,shared=1\n";
    assert_applied(&mp, sorted, sorted);
}

static void lines_of_others_stay(void **state)
{
    (void)state;
    struct guest_lines_desired none = {.config = &config, .vmid = 8200};
    const char *others = "hookscript: local:snippets/other.pl\n"
                         "lxc.mount.entry: /run/felhom-agent/exports/8200 x none bind 0 0\n"
                         "lxc.mount.entry: /run/felhom-agent/export x none bind 0 0\n"
                         "lxc.mount.entry: /run/felhom-agent/export/x x none bind 0 0\n"
                         "lxc.mount.entry: /srv/run/felhom-agent/export/8200 x none bind 0 0\n"
                         "mp0: local:/run/felhom-agent/guests/8200,mp=/a\n"
                         "mpx: /run/felhom-agent/guests/8200\n"
                         "description: /run/felhom-agent/guests/8200\n"
                         "#lxc.mount.entry: /run/felhom-agent/export/8200 x none bind 0 0\n"
                         "[snap]\n" HOOK ENTRY;
    assert_applied(&none, others, others);
}

static void unenrolling_undoes_enrolling(void **state)
{
    (void)state;
    static const enum mount_form forms[] = {MOUNT_FORM_ENTRY, MOUNT_FORM_MP, MOUNT_FORM_NONE};
    const char *before = "a: b\r\nmp0: l:x,mp=/a\r\n\r\n[snap]\r\nc: d";
    struct guest_lines_desired away = {.config = &config, .vmid = 8200};
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        struct guest_lines_desired desired = desired_of(forms[i]);
        struct error error = {0};
        cleanup_buffer struct buffer text = BUFFER_EMPTY;
        cleanup(line_changes_free) struct line_changes changes = {0};
        buffer_add_text(&text, before);
        assert_int_equal(guest_lines_apply(&desired, &text, &changes, &error), 0);
        assert_applied(&away, buffer_text(&text), before);
    }
}

static void a_foreign_hookscript_is_refused(void **state)
{
    (void)state;
    struct error error = {0};
    struct guest_lines_desired entry = desired_of(MOUNT_FORM_ENTRY);
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(line_changes_free) struct line_changes changes = {0};
    buffer_add_text(&text, HOOK "hookscript: local:snippets/other.pl\n");
    assert_int_equal(guest_lines_apply(&entry, &text, &changes, &error), -1);
    assert_int_equal(error.kind, ERROR_CONFLICT);
    assert_string_equal(
        error.message, "guest 8200 already has the hookscript local:snippets/other.pl, and Proxmox "
                       "runs only one: remove it if it is not needed (--delete hookscript) and "
                       "enroll again, or have ours call it: enroll --chain");
    assert_string_equal(buffer_text(&text), HOOK "hookscript: local:snippets/other.pl\n");
}

#define OTHER "hookscript: own:snippets/other.pl\n"

static void a_chained_hookscript_goes_and_comes_back(void **state)
{
    (void)state;
    struct guest_lines_desired chain = desired_of(MOUNT_FORM_NONE);
    struct guest_lines_desired back = {
        .config = &config, .vmid = 8200, .other = "own:snippets/other.pl"};
    chain.other = back.other;
    assert_applied(&chain, "a: b\n" OTHER "[snap]\n" OTHER, "a: b\n" HOOK "[snap]\n" OTHER);
    assert_applied(&chain, OTHER "a: b\n" OTHER, "a: b\n" HOOK);
    assert_applied(&back, HOOK "a: b\n[snap]\n" HOOK, "a: b\n" OTHER "[snap]\n" HOOK);
    /* A hookscript that somebody has set since then stays, and none is set if there is none. */
    assert_applied(&back, "hookscript: own:snippets/third\n", "hookscript: own:snippets/third\n");
    assert_applied(&back, "a: b\n", "a: b\n");
}

/* Deleting the line in the same call would contradict setting it. */
static void a_command_sets_the_chained_hookscript_alone(void **state)
{
    (void)state;
    struct error error = {0};
    struct guest_lines_desired desired = {
        .config = &config, .vmid = 8200, .other = "own:snippets/other.pl", .by_command = true};
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(line_changes_free) struct line_changes changes = {0};
    buffer_add_text(&text, HOOK);
    assert_int_equal(guest_lines_apply(&desired, &text, &changes, &error), 0);
    assert_string_equal(buffer_text(&text), HOOK);
    assert_int_equal(changes.count, 1);
    assert_false(changes.items[0].removed);
    assert_string_equal(changes.items[0].value, "own:snippets/other.pl");
}

static void commands_get_all_but_raw_lines(void **state)
{
    (void)state;
    struct error error = {0};
    struct guest_lines_desired desired = desired_of(MOUNT_FORM_ENTRY);
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(line_changes_free) struct line_changes changes = {0};
    desired.by_command = true;
    buffer_add_text(&text, "mp0: " MP);
    assert_int_equal(guest_lines_apply(&desired, &text, &changes, &error), 0);
    assert_string_equal(buffer_text(&text), "mp0: " MP ENTRY);
    assert_int_equal(changes.count, 3);
    assert_string_equal(changes.items[0].key, "hookscript");
    assert_true(changes.items[0].by_command);
    assert_string_equal(changes.items[1].key, "mp0");
    assert_true(changes.items[1].by_command && changes.items[1].removed);
    assert_string_equal(changes.items[2].key, "lxc.mount.entry");
    assert_false(changes.items[2].by_command);
}

static void a_command_never_sets_and_deletes_one_key(void **state)
{
    (void)state;
    struct guest_lines_desired desired = desired_of(MOUNT_FORM_MP);
    struct error error = {0};
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(line_changes_free) struct line_changes changes = {0};
    desired.by_command = true;
    buffer_add_text(&text, HOOK "mp0: /run/felhom-agent/guests/8300,mp=/x\n");
    assert_int_equal(guest_lines_apply(&desired, &text, &changes, &error), 0);
    assert_false(changes.edited);
    assert_int_equal(changes.count, 2);
    assert_string_equal(changes.items[0].key, "mp0");
    assert_string_equal(changes.items[1].key, "mp1");
}

static void no_free_mount_point_is_said(void **state)
{
    (void)state;
    struct error error = {0};
    struct guest_lines_desired mp = desired_of(MOUNT_FORM_MP);
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(line_changes_free) struct line_changes changes = {0};
    for (int i = 0; i < 256; i++)
        buffer_add_format(&text, "mp%d: l:x,mp=/x%d\n", i, i);
    assert_int_equal(guest_lines_apply(&mp, &text, &changes, &error), -1);
    assert_string_equal(error.message,
                        "guest 8200 has all of mp0 to mp255 in use: use --mount entry");
}

/* enroll removes each mount that the hook would refuse, however its path is written. */
static void lines_are_found_however_they_are_written(void **state)
{
    static const char *const sources[] = {
        "/run/felhom-agent/guests/8300",     "/run/felhom-agent/export//8300/",
        "/run/felhom-agent/guests/./8300",   "/run/felhom-agent/else/../guests/8300",
        "/run/felhom\\055agent/guests/8300", "/run/felhom-agent/guests/83\\060\\060",
    };
    (void)state;
    const struct guest_lines_desired desired = desired_of(MOUNT_FORM_ENTRY);
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
        cleanup_free char *before =
            mem_format(HOOK "lxc.mount.entry: %s etc/felhom-bootstrap none bind 0 0\n", sources[i]);
        assert_applied(&desired, before, HOOK ENTRY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_found_however_they_are_written),
        cmocka_unit_test(lines_are_added_once),
        cmocka_unit_test(the_form_is_switched),
        cmocka_unit_test(lines_of_a_clone_are_mended),
        cmocka_unit_test(what_an_operator_or_proxmox_wrote_is_right),
        cmocka_unit_test(lines_of_others_stay),
        cmocka_unit_test(unenrolling_undoes_enrolling),
        cmocka_unit_test(a_foreign_hookscript_is_refused),
        cmocka_unit_test(a_chained_hookscript_goes_and_comes_back),
        cmocka_unit_test(a_command_sets_the_chained_hookscript_alone),
        cmocka_unit_test(commands_get_all_but_raw_lines),
        cmocka_unit_test(a_command_never_sets_and_deletes_one_key),
        cmocka_unit_test(no_free_mount_point_is_said),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
