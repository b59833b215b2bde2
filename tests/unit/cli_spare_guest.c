/* SPDX-License-Identifier: Apache-2.0 */
/* Which commands a restore test gives Proxmox, and which guests it destroys. This file has
 * stand-ins for Proxmox's commands. */
#include "tests/unit/test.h"

#include <string.h>
#include <sys/stat.h>

#include "cli/pve/query.h"
#include "cli/restore/spare_guest.h"
#include "tests/unit/scratch.h"

#define STARTED_MS INT64_C(1600000000000)
#define MARK       "#felhom-agent restore test of guest 8200 begun 1600000000000\n"

static struct error error;
static struct config config;

/* --- Proxmox --- */

/* A command that begins with these words prints this text; with NULL it fails. */
struct answer {
    const char *words;
    const char *output;
};

static const struct answer *answers;
static struct buffer calls; /* a line each, without the programs' directories */

static const struct answer *find_answer(const char *call)
{
    const struct answer *answer = answers;
    while (answer->words && strncmp(call, answer->words, strlen(answer->words)) != 0)
        answer++;
    return answer->words ? answer : NULL;
}

int pve_command_run_as(const struct pve_command *command, struct error *problem)
{
    size_t start = calls.length;
    for (size_t i = 0; command->argv[i]; i++) {
        const char *word = command->argv[i];
        buffer_add_format(&calls, "%s%s", i ? " " : "", i ? word : strrchr(word, '/') + 1);
    }
    buffer_add_text(&calls, "\n");
    const struct answer *answer = find_answer(buffer_text(&calls) + start);
    if (answer && !answer->output)
        return fail(problem, ERROR_SYSTEM, "refused");
    if (answer && command->output)
        buffer_add_text(command->output, answer->output);
    return 0;
}

int pve_command_run(const char *const *argv, struct error *problem)
{
    const struct pve_command command = {argv, NULL, PVE_NO_LIMITS};
    return pve_command_run_as(&command, problem);
}

int pve_command_capture(const char *const *argv, struct buffer *out, struct error *problem)
{
    const struct pve_command command = {argv, out, PVE_NO_LIMITS};
    return pve_command_run_as(&command, problem);
}

#define ANSWERS(...) \
    do { \
        static const struct answer table[] = {__VA_ARGS__, {NULL, NULL}}; \
        answers = table; \
        buffer_free(&calls); \
    } while (0)

#define CONTENT(storage, vmid) \
    "pvesh get /nodes/localhost/storage/" storage "/content --output-format json --vmid " vmid

/* --- backups --- */

static void assert_archive(enum guest_kind kind, const char *expected)
{
    cleanup_free char *archive = NULL;
    assert_int_equal(spare_guest_find_archive("local", kind, 8200, PVE_NO_LIMITS, &archive, &error),
                     0);
    assert_string_equal(archive, expected);
}

static void the_newest_backup_is_found(void **state)
{
    (void)state;
    ANSWERS({"pvesh", "[{\"volid\":\"local:a\",\"content\":\"backup\",\"vmid\":8200,\"ctime\":5},"
                      "{\"volid\":\"local:b\",\"content\":\"backup\",\"vmid\":8200,\"ctime\":7,"
                      "\"subtype\":\"lxc\"},"
                      "{\"volid\":\"local:c\",\"content\":\"backup\",\"vmid\":8200,\"ctime\":6},"
                      "{\"volid\":\"local:d\",\"content\":\"backup\",\"vmid\":8201,\"ctime\":8},"
                      "{\"volid\":\"local:e\",\"content\":\"images\",\"vmid\":8200,\"ctime\":8},"
                      "{\"volid\":\"local:f\",\"content\":\"backup\",\"vmid\":8200,\"ctime\":9,"
                      "\"subtype\":\"qemu\"},"
                      "{\"volid\":7,\"content\":\"backup\",\"vmid\":8200,\"ctime\":9},"
                      "{\"content\":\"backup\",\"vmid\":\"8200\"},7,null,[]]"});
    assert_archive(GUEST_LXC, "local:b");
    assert_string_equal(buffer_text(&calls), CONTENT("local", "8200") " --content backup\n");
    assert_archive(GUEST_QEMU, "local:f");
}

static void assert_no_archive(enum error_kind kind, const char *message)
{
    cleanup_free char *archive = NULL;
    assert_int_equal(
        spare_guest_find_archive("local", GUEST_LXC, 8200, PVE_NO_LIMITS, &archive, &error), -1);
    assert_null(archive);
    assert_string_equal(error.message, message);
    assert_int_equal(error.kind, kind);
}

static void there_may_be_no_backup(void **state)
{
    (void)state;
    ANSWERS({"pvesh", "[]"});
    assert_no_archive(ERROR_MISSING, "there is no backup of guest 8200 on local");
    ANSWERS({"pvesh", "{}"});
    assert_no_archive(ERROR_INVALID,
                      "Proxmox's answer for /nodes/localhost/storage/local/content is not a list");
    ANSWERS({"pvesh", "["});
    assert_no_archive(ERROR_INVALID,
                      "Proxmox's answer for /nodes/localhost/storage/local/content: not JSON: line "
                      "1 column 1: ']' expected near end of file");
    ANSWERS({"pvesh", NULL});
    assert_no_archive(ERROR_SYSTEM,
                      "cannot ask Proxmox for /nodes/localhost/storage/local/content: refused");
}

/* --- storages --- */

static void find_storages(enum guest_kind kind, const char *wanted, const char *text,
                          struct spare_storages *ret)
{
    struct config asked = {.restore_test = {.storage = mem_copy_text(wanted)}};
    cleanup(guest_config_free) struct guest_config guest = {0};
    assert_int_equal(guest_config_parse(kind, text, strlen(text), &guest, &error), 0);
    spare_storages_find(&asked, &guest, ret);
    free(asked.restore_test.storage);
}

static void assert_storages(enum guest_kind kind, const char *wanted, const char *text,
                            const char *expected_wanted, const char *expected)
{
    cleanup(spare_storages_free) struct spare_storages storages = {NULL, 0, NULL};
    cleanup_buffer struct buffer names = BUFFER_EMPTY;
    find_storages(kind, wanted, text, &storages);
    for (size_t i = 0; i < storages.count; i++)
        buffer_add_format(&names, "%s ", storages.names[i]);
    assert_string_equal(buffer_text(&names), expected);
    assert_string_equal(storages.wanted ? storages.wanted : "", expected_wanted);
}

static void storages_are_found(void **state)
{
    (void)state;
    static const char lxc[] =
        "mp0: slow:vm-1-disk-1,mp=/x\nmp1: /srv,mp=/y\nrootfs: a1:vm-1-disk-0\n";
    static const char qemu[] =
        "scsi0: a1:vm-1-disk-0\nscsi1: b2:vm-1-disk-0\nsata0: a1:vm-1-disk-1\n"
        "ide2: iso:iso/x.iso,media=cdrom\n";
    assert_storages(GUEST_LXC, "", lxc, "a1", "a1 ");
    assert_storages(GUEST_LXC, "fast", lxc, "fast", "fast ");
    assert_storages(GUEST_LXC, "", "rootfs: /srv/root\n", "", "");
    assert_storages(GUEST_QEMU, "", qemu, "", "a1 b2 ");
    assert_storages(GUEST_QEMU, "fast", qemu, "fast", "fast ");
}

/* --- the spare VMID --- */

static char *names[] = {(char[]){"a"}, (char[]){"b"}};
static const struct spare_storages storages = {names, 2, NULL};

static void assert_chosen(uint32_t expected)
{
    uint32_t vmid = 0;
    assert_int_equal(spare_guest_choose(&storages, PVE_NO_LIMITS, &vmid, &error), 0);
    assert_int_equal(vmid, expected);
}

#define DISK       "[{\"volid\":\"a:vm-9000-disk-0\",\"content\":\"images\",\"vmid\":9000}]"
#define OLD_BACKUP "[{\"volid\":\"a:backup/x\",\"content\":\"backup\",\"vmid\":9000}]"

static void a_free_vmid_is_chosen(void **state)
{
    (void)state;
    ANSWERS({"pvesh get /cluster/nextid", "9000\n"}, {"pvesh", "[]"});
    assert_chosen(9000);
    assert_string_equal(buffer_text(&calls),
                        "pvesh get /cluster/nextid --output-format json\n" CONTENT(
                            "a", "9000") "\n" CONTENT("b", "9000") "\n");
    ANSWERS({"pvesh get /cluster/nextid", "\"9000\""}, {"pvesh", OLD_BACKUP});
    assert_chosen(9000);
    ANSWERS({"pvesh get /cluster/nextid --output-format json --vmid 9001", NULL},
            {"pvesh get /cluster/nextid", "9000"}, {CONTENT("b", "9000"), DISK}, {"pvesh", "[]"});
    assert_chosen(9002);
}

static void assert_not_chosen(const char *message)
{
    uint32_t vmid;
    assert_int_equal(spare_guest_choose(&storages, PVE_NO_LIMITS, &vmid, &error), -1);
    assert_string_equal(error.message, message);
}

static void there_may_be_no_free_vmid(void **state)
{
    (void)state;
    ANSWERS({"pvesh get /cluster/nextid", "99"});
    assert_not_chosen("Proxmox's next free VMID, '99', is not a VMID");
    ANSWERS({"pvesh get /cluster/nextid", "null"});
    assert_not_chosen("Proxmox's next free VMID, '', is not a VMID");
    ANSWERS({"pvesh get /cluster/nextid", NULL});
    assert_not_chosen("cannot ask Proxmox for /cluster/nextid: refused");
    ANSWERS({"pvesh get /cluster/nextid", "9000"}, {CONTENT("a", ""), "[]"}, {"pvesh", NULL});
    assert_not_chosen("cannot ask Proxmox for /nodes/localhost/storage/b/content: refused");
    ANSWERS({"pvesh get /cluster/nextid", "9000"}, {"pvesh", DISK});
    assert_not_chosen("no spare VMID: each of the 50 from Proxmox's next free one on has a guest, "
                      "or disks without a guest");
}

/* --- whose it is --- */

static const struct restore_test unfinished = {
    .vmid = 8200, .spare_vmid = 9000, .started_at_ms = STARTED_MS};

static void assert_marked(const char *text, bool expected)
{
    cleanup_buffer struct buffer buffer = BUFFER_EMPTY;
    buffer_add_text(&buffer, text);
    if (spare_guest_is_marked(&buffer, &unfinished) != expected)
        fail_test("%s: not %d", text, expected);
}

static void the_mark_is_known(void **state)
{
    (void)state;
    cleanup_free char *mark = spare_guest_mark(&unfinished);
    assert_string_equal(mark, "felhom-agent restore test of guest 8200 begun 1600000000000");
    assert_marked(MARK, true);
    assert_marked("hostname: x\n" MARK "memory: 1\n", true);
    assert_marked("#felhom-agent restore test of guest 8200 begun 1600000000000\r\n", true);
    assert_marked("#felhom-agent restore test of guest 8200 begun 1600000000000", true);
    assert_marked("", false);
    assert_marked("#felhom-agent restore test of guest 8200 begun 1600000000001\n", false);
    assert_marked("#felhom-agent restore test of guest 8200 begun 16000000000001\n", false);
    assert_marked("#felhom-agent restore test of guest 8200 begun 160000000000\n", false);
    assert_marked("#felhom-agent restore test of guest 8300 begun 1600000000000\n", false);
    assert_marked("#a " MARK, false);
    assert_marked("hostname: x\n[snap]\n" MARK, false);
}

static void write_config(const char *name, const char *text)
{
    FILE *file = fopen(in_scratch(name), "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Sets how Proxmox's commands answer about the file; returns what spare_guest_clear returns. */
static int clear(const char *name, const char *text, const struct restore_test *test,
                 bool *ret_found)
{
    write_config(name, text);
    return spare_guest_clear(&config, &storages, test, ret_found, &error);
}

static void assert_cleared(const char *name, const char *text, const char *expected)
{
    bool found = false;
    buffer_free(&calls);
    assert_int_equal(clear(name, text, &unfinished, &found), 0);
    assert_string_equal(buffer_text(&calls), expected);
    assert_int_equal(found, *expected != '\0');
}

#define LXC      "pve/lxc/9000.conf"
#define QEMU     "pve/qemu-server/9000.conf"
#define NO_DISKS CONTENT("a", "9000") "\n" CONTENT("b", "9000") "\n"

static void a_marked_copy_goes(void **state)
{
    (void)state;
    ANSWERS({"pct status", "status: running\n"}, {"qm status", "status: stopped\n"});
    assert_cleared(LXC, MARK "hostname: x\n",
                   "pct status 9000\npct stop 9000\n"
                   "pct destroy 9000 --destroy-unreferenced-disks 0\n");
    (void)unlink(in_scratch(LXC));
    assert_cleared(QEMU, MARK "name: x\n",
                   "qm status 9000\nqm destroy 9000 --destroy-unreferenced-disks 0\n");
}

static void anything_else_stays(void **state)
{
    (void)state;
    ANSWERS({"pvesh", "[]"});
    bool found = true;
    assert_int_equal(spare_guest_clear(&config, &storages, &unfinished, &found, &error), 0);
    assert_false(found);
    assert_cleared(LXC, "hostname: theirs\n", "");
    assert_cleared(LXC, "lock: create\nhostname: theirs\n", "");
    assert_cleared(LXC, "lock: backup\n", "");
    assert_cleared(LXC, "lock: create2\n", "");
    assert_cleared(LXC, "#a note\n", "");
    assert_cleared(LXC, "[pve:pending]\nhostname: theirs\n", "");
    assert_cleared(LXC, "lock: create\n[snap]\nhostname: theirs\n", "");
}

/* Proxmox's own configuration during a restore, which cannot have a description yet. */
static void a_shell_goes(void **state)
{
    (void)state;
    ANSWERS({"pvesh", "[]"});
    assert_cleared(LXC, "lock: create\n",
                   NO_DISKS "pct unlock 9000\npct destroy 9000 --destroy-unreferenced-disks 0\n");
    (void)unlink(in_scratch(LXC));
    assert_cleared(QEMU, "memory: 128\n",
                   NO_DISKS "qm unlock 9000\nqm destroy 9000 --destroy-unreferenced-disks 0\n");
    ANSWERS({CONTENT("b", "9000"), OLD_BACKUP},
            {"pvesh", "[{\"volid\":\"a:vm-9000-disk-0\",\"content\":\"rootdir\",\"vmid\":9000},"
                      "{\"volid\":\"a:vm-9000-disk-1\",\"content\":\"images\",\"vmid\":9000,"
                      "\"ctime\":1600000000},"
                      "{\"volid\":\"a:vm-9000-disk-2\",\"content\":\"images\",\"vmid\":9000,"
                      "\"ctime\":1599999999}]"},
            {"qm unlock", NULL});
    assert_cleared(
        QEMU, "",
        CONTENT(
            "a",
            "9000") "\npvesm free a:vm-9000-disk-0\n"
                    "pvesm free a:vm-9000-disk-1\n" CONTENT(
                        "b",
                        "9000") "\n"
                                "qm unlock 9000\nqm destroy 9000 --destroy-unreferenced-disks 0\n");
}

static void only_a_young_shell_of_an_unfinished_test_goes(void **state)
{
    (void)state;
    ANSWERS({"pvesh", "[]"});
    bool found = true;
    struct restore_test test = unfinished;
    test.started_at_ms = INT64_C(4000000000000);
    assert_int_equal(clear(LXC, "lock: create\n", &test, &found), 0);
    assert_false(found);
    test = unfinished;
    test.finished_at_ms = STARTED_MS + 1;
    assert_int_equal(clear(LXC, "lock: create\n", &test, &found), 0);
    assert_false(found);
    assert_string_equal(buffer_text(&calls), "");
    assert_int_equal(clear(LXC, MARK, &test, &found), 0);
    assert_true(found);
    test.spare_vmid = 0;
    buffer_free(&calls);
    assert_int_equal(clear(LXC, MARK, &test, &found), 0);
    assert_false(found);
    assert_string_equal(buffer_text(&calls), "");
}

static void what_does_not_go_is_told(void **state)
{
    (void)state;
    bool found;
    ANSWERS({"pct destroy", NULL});
    assert_int_equal(clear(LXC, MARK, &unfinished, &found), -1);
    assert_string_equal(error.message,
                        "guest 9000, the copy of a restore test, is still there: refused");
    ANSWERS({"pvesh", NULL});
    assert_int_equal(clear(LXC, "lock: create\n", &unfinished, &found), -1);
    assert_string_equal(buffer_text(&calls), CONTENT("a", "9000") "\n");
}

/* --- */

static int setup(void **state)
{
    char text[512];
    if (scratch_make(state) < 0)
        return -1;
    shell("mkdir -p pve/lxc pve/qemu-server");
    (void)snprintf(text, sizeof text, "paths: {pve: %s/pve, run: %s/run}\n", scratch, scratch);
    return config_parse("agent.yaml", text, strlen(text), &config, &error);
}

static int teardown(void **state)
{
    config_free(&config);
    buffer_free(&calls);
    return scratch_remove(state);
}

#define test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(the_newest_backup_is_found),
        test(there_may_be_no_backup),
        test(storages_are_found),
        test(a_free_vmid_is_chosen),
        test(there_may_be_no_free_vmid),
        test(the_mark_is_known),
        test(a_marked_copy_goes),
        test(anything_else_stays),
        test(a_shell_goes),
        test(only_a_young_shell_of_an_unfinished_test_goes),
        test(what_does_not_go_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
