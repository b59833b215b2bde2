/* SPDX-License-Identifier: Apache-2.0 */
/* Which mounts would give a guest another guest's secrets. */
#include <mntent.h>

#include "schema/base/buffer.h"
#include "schema/pve/lxc_line.h"
#include "store/files/guest_mount.h"
#include "tests/unit/scratch.h"

#define OWN 8200

static struct config config;

static int set_up(void **state)
{
    struct error error;
    if (scratch_make(state) < 0)
        return -1;
    cleanup_free char *text = mem_format(
        "paths: {guests: %s/run/guests, export: %s/run/export, pve: /pve}\n", scratch, scratch);
    shell("mkdir -p run/guests/8300 run/export/8300 else conf.d/sub.conf.d && ln -s run link");
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
        "lxc.mount.entry: '@/run/export/8300 etc/x none bind,ro 0 0'",
        "lxc.mount.entry = \"@/run/export/8300 etc/x none bind,ro 0 0\"",
        "lxc.mount.entry: overlay mnt overlay lowerdir=@/run/guests/8300 0 0",
        "lxc.mount.entry: overlay mnt overlay lowerdir=~/run/guests/8300 0 0",
        "lxc.mount.entry: overlay mnt overlay lowerdir=@/else:@/run/guests/8300:@/else 0 0",
        "lxc.mount.entry: overlay mnt overlay lowerdir=@/else::@/run/guests 0 0",
        "lxc.mount.entry: overlay mnt overlay lowerdir=@/run/gu\\ests/8300 0 0",
        "lxc.mount.entry: overlay mnt overlay lowerdir=@/run/g\\165ests/8300 0 0",
        "lxc.mount.entry: overlay mnt overlay lowerdir=@/else,upperdir=@/run/guests/8300/u,workdir="
        "@/else 0 0",
        "lxc.mount.entry: overlay mnt overlay lowerdir=@/else,upperdir=@/else,workdir="
        "@/run/guests/8300/w 0 0",
        "lxc.mount.entry: @/else:@/run/guests/8300 mnt fuse.mergerfs defaults 0 0",
        "lxc.mount.entry: none mnt aufs br=@/run/guests/8300=ro:@/else 0 0",
        "lxc.mount.auto: proc:mixed shmounts:@/run/guests/8300",
        "lxc.mount.auto: shmounts:@/run:/mnt",
        "lxc.hook.pre-mount: /bin/mount --bind @/run/guests/8300 /mnt",
        "lxc.hook.mount: /bin/sh -c 'cp \"@/run/export/8300/token\" /x'",
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct error error = {0};
        enum mount_form form;
        if (judge(lines[i], &form, &error) == 0)
            fail_test("not refused: %s", lines[i]);
        assert_int_equal(error.kind, ERROR_FOREIGN);
        assert_non_null(strstr(error.message, GUEST_MOUNT_REMEDY));
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
        {"lxc.mount.entry: '@/run/export/8200 etc/felhom-bootstrap none bind,ro 0 0'",
         MOUNT_FORM_ENTRY},
        {"lxc.mount.entry: # @/run/export/8300 is another's", MOUNT_FORM_NONE},
        {"lxc.mount.entry: overlay mnt overlay lowerdir=@/else:@/else 0 0", MOUNT_FORM_NONE},
        {"lxc.mount.entry: overlay mnt overlay lowerdir=@/run/guests/8200 0 0", MOUNT_FORM_NONE},
        {"lxc.mount.entry: tmpfs mnt tmpfs size=5m,mode=0755,uid=0 0 0", MOUNT_FORM_NONE},
        {"lxc.mount.auto: proc:mixed sys:ro cgroup:mixed", MOUNT_FORM_NONE},
        {"lxc.mount.auto: shmounts:@/else", MOUNT_FORM_NONE},
        {"lxc.hook.mount: @/else/script @ / @/run/guests/8200", MOUNT_FORM_NONE},
        {"lxc.mount.fstab:", MOUNT_FORM_NONE},
        {"lxc.include:", MOUNT_FORM_NONE},
        {"lxc.include: @/none.d/", MOUNT_FORM_NONE},
        {"lxc.include: @/else", MOUNT_FORM_NONE},
        {"lxc.environment: X=@/run/guests/8300", MOUNT_FORM_NONE},
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

/* Each remedy is the command that really corrects the line. */
static void test_remedy_of_each_line(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *end;
    } cases[] = {
        {"mp0: @/run/guests/8300,mp=/x", ": pct set 8200 --delete mp0 && felhomctl enroll 8200"},
        {"lxc.mount.entry: @/run/export/8300 x none bind 0 0", ": felhomctl enroll 8200"},
        {"lxc.mount.entry: @/link/export/8300 x none bind 0 0", ": editor /pve/lxc/8200.conf"},
        {"lxc.mount.entry: overlay x overlay lowerdir=@/run/guests/8300 0 0",
         ": editor /pve/lxc/8200.conf"},
        {"lxc.mount.entry: / host none rbind,ro,create=dir 0 0", ": editor /pve/lxc/8200.conf"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error error = {0};
        enum mount_form form;
        assert_int_equal(judge(cases[i].line, &form, &error), -1);
        if (!text_ends_with(error.message, cases[i].end))
            fail_test("%s: %s", cases[i].line, error.message);
    }
}

/* Writes a file below the scratch root; @ in the text stands for that. */
static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(in_scratch(name), "we");
    assert_non_null(file);
    for (const char *c = text; *c; c++)
        (void)(*c == '@' ? fputs(scratch, file) : fputc(*c, file));
    assert_int_equal(fclose(file), 0);
}

static void assert_refused(const char *line, const char *wanted)
{
    struct error error = {0};
    enum mount_form form;
    cleanup_free char *place = mem_format("%s%s", *wanted == '/' ? scratch : "", wanted);
    if (judge(line, &form, &error) == 0)
        fail_test("not refused: %s", line);
    assert_int_equal(error.kind, ERROR_FOREIGN);
    if (!strstr(error.message, place))
        fail_test("'%s' lacks '%s'", error.message, place);
}

static void assert_fine(const char *line)
{
    struct error error = {0};
    enum mount_form form;
    if (judge(line, &form, &error) < 0)
        fail_test("refused: %s: %s", line, error.message);
    assert_int_equal(form, MOUNT_FORM_NONE);
}

static void test_files_are_read(void **state)
{
    (void)state;
    write_file("fstab", "# @/run/guests/8300 x none bind\n\nproc proc proc nodev 0 0\n");
    assert_fine("lxc.mount.fstab: @/fstab");
    write_file("fstab", "proc proc proc nodev 0 0\n\t@/run/export/8300 mnt none bind 0 0");
    assert_refused("lxc.mount.fstab: @/fstab",
                   "/fstab:2: lxc.mount.entry mounts the directory of guest 8300");
    assert_refused("lxc.mount.fstab: '~/fstab'", "/fstab:2: ");
    write_file("one.conf", "# lxc.mount.entry = @/run/guests/8300 x none bind\nlxc.cap.drop = x\n"
                           "not lxc.mount.entry = @/run/guests/8300 x none bind\n");
    assert_fine("lxc.include: @/one.conf");
    write_file("one.conf", "\n \tlxc.mount.entry= \"@/run/guests/8300 x none bind 0 0\" \r\n");
    assert_refused("lxc.include: @/one.conf", "/one.conf:2: lxc.mount.entry mounts the directory");
    write_file("one.conf", "lxc.rootfs.path = overlay:@/run/guests/8300:@/else\n");
    assert_refused("lxc.include: @/one.conf", "/one.conf:1: lxc.rootfs.path mounts the directory");
    write_file("one.conf", "lxc.mount.fstab = @/fstab\n");
    assert_refused("lxc.include: @/one.conf", "/fstab:2: ");
    write_file("conf.d/a.conf", "lxc.include = @/one.conf\n");
    write_file("conf.d/b.txt", "lxc.rootfs.path = @/run/guests/8300\n");
    assert_refused("lxc.include: @/conf.d", "/fstab:2: ");
    assert_refused("lxc.include: @/conf.d/", "/fstab:2: ");
    write_file("fstab", "@/run/export/8200 etc/felhom-bootstrap none bind 0 0\n");
    assert_fine("lxc.include: @/conf.d/");
}

static void test_what_cannot_be_read_is_refused(void **state)
{
    (void)state;
    assert_refused("lxc.mount.fstab: @/missing", "lxc.mount.fstab (line 1) names ");
    assert_refused("lxc.include: @/missing", "which cannot be checked: ");
    assert_refused("lxc.mount.fstab: @/else", "which cannot be checked: ");
    shell("mkfifo fifo; printf 'lxc.x = \\0' >nul; head -c 2000000 /dev/zero | tr '\\0' a >big");
    assert_refused("lxc.mount.fstab: @/fifo", "/fifo: ");
    assert_refused("lxc.include: @/nul", "there is a NUL byte in it");
    assert_refused("lxc.include: @/big", "/big: ");
    shell("mkdir conf.d/x.conf");
    assert_refused("lxc.include: @/conf.d", "/conf.d/x.conf");
    write_file("loop.conf", "lxc.include = @/loop.conf\n");
    assert_refused("lxc.include: @/loop.conf", "/loop.conf:1: lxc.include names ");
    assert_refused("lxc.include: @/loop.conf", "too many files include each other");
    write_file("wide.conf", "lxc.include = @/deep.conf\nlxc.include = @/deep.conf\n");
    write_file("deep.conf", "lxc.include = @/wide.conf\nlxc.include = @/wide.conf\n");
    assert_refused("lxc.include: @/wide.conf", "too many files include each other");
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
        cleanup_free char *source = lxc_mount_entry_source(cases[i].value);
        assert_string_equal(source, cases[i].source);
    }
}

/* LXC writes the entries to a file and has the C library read it. */
static void test_sources_are_read_as_by_lxc(void **state)
{
    static const char *const entries[] = {
        "/a\\040b",     "/a\\011b", "/a\\134b", "/a\\\\b",
        "/a\\\\\\040b", "/a\\b",    "/a\\\\",   "/a\\134040b",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        char room[256];
        struct mntent read;
        cleanup_free char *value = mem_format("%s x none bind 0 0", entries[i]);
        cleanup_free char *line = mem_format("%s\n", value);
        cleanup_file FILE *file = fmemopen(line, strlen(line), "r");
        cleanup_free char *source = lxc_mount_entry_source(value);
        assert_non_null(getmntent_r(file, &read, room, sizeof room));
        assert_string_equal(source, read.mnt_fsname);
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
        cmocka_unit_test(test_sources_are_read_as_by_lxc),
        cmocka_unit_test(test_owners_of_paths),
        cmocka_unit_test_setup_teardown(test_foreign_lines_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_lines_are_fine, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_remedy_of_each_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_files_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_read_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_message_names_mount_and_cure, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
