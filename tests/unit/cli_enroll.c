/* SPDX-License-Identifier: Apache-2.0 */
/* enroll and unenroll on a scratch host. */
#include <string.h>
#include <sys/mount.h>

#include "store/files/guest_directory.h"
#include "store/tables/guest.h"
#include "store/tables/token.h"
#include "tests/unit/cli_scratch.h"
#include "tests/unit/test.h"

#define CONTENT   "hostname: web\nunprivileged: 1\n\n[snap]\nhostname: old\n"
#define CONFIG    "pve/nodes/n1/lxc/8200.conf"
#define FILE_8200 "pve/priv/felhom/8200.yaml"

static char *snippets;

static int setup(void **state)
{
    if (node_init(state) != 0)
        return -1;
    scratch_write(CONFIG, CONTENT);
    snippets = scratch_path("vz/snippets");
    return 0;
}

static int teardown(void **state)
{
    free(snippets);
    return scratch_remove(state);
}

#define enroll(...) \
    felhomctl("enroll", "--hook", "/bin/true", "--snippets", snippets, __VA_ARGS__, NULL)

static void assert_file(const char *name, const char *format)
{
    cleanup_buffer struct buffer now = scratch_read(name);
    cleanup_buffer struct buffer expected = BUFFER_EMPTY;
    for (const char *rest = format; *rest;) {
        const char *mark = strchr(rest, '$');
        buffer_add(&expected, rest, mark ? (size_t)(mark - rest) : strlen(rest));
        if (!mark)
            break;
        buffer_add_text(&expected, scratch);
        rest = mark + 1;
    }
    assert_string_equal(buffer_text(&now), buffer_text(&expected));
}

static void assert_refused(const struct outcome *outcome, const char *reason)
{
    assert_int_equal(outcome->status, 1);
    assert_int_equal(strncmp(buffer_text(&outcome->err), "felhomctl: ", 11), 0);
    assert_contains(&outcome->err, reason);
    assert_file(CONFIG, CONTENT);
    assert_false(scratch_exists(FILE_8200));
}

#define ENTRY \
    "hostname: web\nunprivileged: 1\nhookscript: local:snippets/felhom-hook\n" \
    "lxc.mount.entry: $/run/export/8200 etc/felhom-bootstrap none bind,ro,create=dir,optional 0 " \
    "0\n" \
    "\n[snap]\nhostname: old\n"
#define MP \
    "hostname: web\nunprivileged: 1\nhookscript: local:snippets/felhom-hook\n" \
    "mp0: $/run/guests/8200,mp=/etc/felhom-bootstrap,ro=1,backup=0,replicate=0,shared=1\n" \
    "\n[snap]\nhostname: old\n"

static void a_guest_is_enrolled_once(void **state)
{
    (void)state;
    char target[64] = "";
    cleanup_free char *link = scratch_path("vz/snippets/felhom-hook");
    cleanup_outcome struct outcome first = enroll("8200", "--customer", "acme");
    assert_string_equal(buffer_text(&first.err), "");
    assert_int_equal(first.status, 0);
    assert_file(CONFIG, ENTRY);
    assert_file(FILE_8200, "customer:\n  id: \"acme\"\n");
    assert_int_equal(scratch_mode(FILE_8200), 0600);
    assert_int_equal(scratch_mode(CONFIG), 0640);
    assert_int_equal(scratch_mode("vz/snippets"), 0755);
    assert_true(readlink(link, target, sizeof target - 1) > 0);
    assert_string_equal(target, "/bin/true");
    assert_contains(&first.out, "it takes effect at the guest's next start");
    cleanup_outcome struct outcome again = enroll("8200");
    assert_int_equal(again.status, 0);
    assert_null(strstr(buffer_text(&again.out), "done"));
    assert_contains(&again.out, "Next: nothing, all was as requested.");
    assert_file(CONFIG, ENTRY);
    cleanup_outcome struct outcome list = felhomctl("guests", NULL);
    assert_contains(&list.out, "8200  web   lxc   stopped  none   -    -    entry");
}

static void the_mount_form_switches_when_asked(void **state)
{
    (void)state;
    struct stat status;
    cleanup_free char *place = scratch_path("run/guests/8200");
    cleanup_outcome struct outcome entry = enroll("8200");
    cleanup_outcome struct outcome mp = enroll("8200", "--mount", "mp");
    assert_int_equal(mp.status, 0);
    assert_file(CONFIG, MP);
    assert_int_equal(stat(place, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    if (geteuid() == 0)
        assert_int_equal(status.st_uid, 100000);
    cleanup_outcome struct outcome unasked = enroll("8200");
    assert_file(CONFIG, MP);
    cleanup_outcome struct outcome back = enroll("8200", "--mount", "entry");
    assert_file(CONFIG, ENTRY);
}

static void a_running_guest_is_taken_for_one(void **state)
{
    (void)state;
    scratch_make_directory("cgroup/lxc");
    scratch_make_directory("cgroup/lxc/8200");
    cleanup_outcome struct outcome outcome = enroll("8200");
    cleanup_outcome struct outcome list = felhomctl("guests", NULL);
    assert_contains(&list.out, "8200  web   lxc   running");
}

static void a_virtual_machine_gets_the_hook_alone(void **state)
{
    (void)state;
    scratch_write("pve/qemu-server/8201.conf", "name: vm\n");
    cleanup_outcome struct outcome outcome = enroll("8201", "--mount", "mp");
    assert_int_equal(outcome.status, 0);
    assert_file("pve/qemu-server/8201.conf", "name: vm\nhookscript: local:snippets/felhom-hook\n");
    assert_contains(&outcome.out, "this is a virtual machine: it gets the hook, but no mount");
}

static void a_template_is_warned_of(void **state)
{
    (void)state;
    scratch_write(CONFIG, "template: 1\n");
    cleanup_outcome struct outcome outcome = enroll("8200");
    assert_int_equal(outcome.status, 0);
    assert_contains(&outcome.out, "warning  template ");
}

static void what_cannot_be_done_is_refused_whole(void **state)
{
    (void)state;
    cleanup_outcome struct outcome missing = enroll("8300");
    assert_refused(&missing, "8300.conf: no such guest configuration on this node");
    cleanup_outcome struct outcome hook =
        felhomctl("enroll", "8200", "--hook", "/nonexistent", "--snippets", snippets, NULL);
    assert_refused(&hook, "/nonexistent is not a program that can be run");
    cleanup_outcome struct outcome password =
        enroll("8200", "--retrieval-password-file", "/nonexistent");
    assert_refused(&password, "/nonexistent: no such file");
    cleanup_outcome struct outcome customer = enroll("8200", "--customer", "a b");
    assert_refused(&customer, "customer.id");
    scratch_make_directory("vz");
    scratch_make_directory("vz/snippets");
    scratch_write("vz/snippets/felhom-hook", "x");
    cleanup_outcome struct outcome snippet = enroll("8200");
    assert_refused(&snippet, "/vz/snippets/felhom-hook is a file, not a link to");
}

static void a_foreign_hookscript_is_refused(void **state)
{
    (void)state;
    scratch_write(CONFIG, "hookscript: local:snippets/other.pl\n");
    cleanup_outcome struct outcome outcome = enroll("8200");
    assert_int_equal(outcome.status, 1);
    assert_contains(&outcome.err, "already has the hookscript local:snippets/other.pl");
    assert_file(CONFIG, "hookscript: local:snippets/other.pl\n");
    assert_false(scratch_exists("vz/snippets"));
    assert_false(scratch_exists(FILE_8200));
}

static void a_locked_guest_is_refused(void **state)
{
    (void)state;
    scratch_write(CONFIG, "lock: migrate\n");
    cleanup_outcome struct outcome outcome = enroll("8200");
    assert_int_equal(outcome.status, 1);
    assert_contains(&outcome.err, "guest 8200 is locked (migrate)");
    assert_file(CONFIG, "lock: migrate\n");
    assert_false(scratch_exists("vz/snippets"));
    assert_false(scratch_exists(FILE_8200));
}

static void options_are_put_over_the_enrolment(void **state)
{
    (void)state;
    cleanup_free char *password = scratch_path("password");
    scratch_write("password", "s3cr3t\n");
    cleanup_outcome struct outcome first =
        enroll("8200", "--customer-id", "acme", "--customer-name", "A: \"C\"");
    cleanup_outcome struct outcome second =
        enroll("8200", "--image", "r/i:1", "--retrieval-password-file", password);
    assert_int_equal(second.status, 0);
    assert_null(strstr(buffer_text(&second.out), "s3cr3t"));
    cleanup_buffer struct buffer file = scratch_read(FILE_8200);
    assert_contains(&file, "id: \"acme\"");
    assert_contains(&file, "name: \"A: \\\"C\\\"\"");
    assert_contains(&file, "image: \"r/i:1\"");
    assert_contains(&file, "retrieval_password: \"s3cr3t\"");
    cleanup_outcome struct outcome shown =
        felhomctl("guest", "8200", "--output-format", "json", NULL);
    assert_contains(&shown.out, "\"image\":\"r/i:1\"");
    assert_null(strstr(buffer_text(&shown.out), "s3cr3t"));
}

static void controller_keys_are_never_lost(void **state)
{
    (void)state;
    const char *text = "customer: {id: acme}\ncontroller: {log: debug} # mine\n";
    scratch_write(FILE_8200, text);
    cleanup_outcome struct outcome change = enroll("8200", "--customer", "other");
    assert_int_equal(change.status, 1);
    assert_contains(&change.err, "has controller keys, which a change from here would lose: edit "
                                 "the file instead, then enroll without these options");
    assert_file(CONFIG, CONTENT);
    cleanup_outcome struct outcome same = enroll("8200", "--customer", "acme");
    assert_int_equal(same.status, 0);
    assert_file(FILE_8200, text);
}

static void a_bad_enrolment_file_is_named(void **state)
{
    (void)state;
    scratch_write(FILE_8200, "bogus: 1\n");
    cleanup_outcome struct outcome outcome = enroll("8200");
    assert_int_equal(outcome.status, 1);
    assert_contains(&outcome.err, "8200.yaml:1:1: bogus: ");
    assert_file(CONFIG, CONTENT);
}

static void unenrolling_leaves_nothing(void **state)
{
    (void)state;
    static const char *const forms[] = {"entry", "mp"};
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        cleanup_outcome struct outcome in = enroll("8200", "--mount", forms[i]);
        assert_int_equal(in.status, 0);
        if (i == 0)
            scratch_make_directory("run/guests/8200");
        scratch_write("run/guests/8200/token", "x");
        scratch_make_directory("run/export/8200");
        cleanup_outcome struct outcome out = felhomctl("unenroll", "8200", NULL);
        assert_string_equal(buffer_text(&out.err), "");
        assert_int_equal(out.status, 0);
        assert_file(CONFIG, CONTENT);
        assert_false(scratch_exists(FILE_8200));
        assert_false(scratch_exists("run/guests/8200"));
        assert_false(scratch_exists("run/export/8200"));
    }
    cleanup_outcome struct outcome list = felhomctl("guests", "--output-format", "json", NULL);
    assert_string_equal(buffer_text(&list.out), "[]\n");
    cleanup_outcome struct outcome again = felhomctl("unenroll", "8200", NULL);
    assert_int_equal(again.status, 0);
    assert_null(strstr(buffer_text(&again.out), "done"));
}

/* Nothing is said of a mount that there is not. */
static void unenrolling_says_what_is_left(void **state)
{
    (void)state;
    scratch_make_directory("cgroup/lxc");
    cleanup_outcome struct outcome stopped_in = enroll("8200");
    cleanup_outcome struct outcome stopped = felhomctl("unenroll", "8200", NULL);
    assert_contains(&stopped.out, "Next: nothing.");
    scratch_make_directory("cgroup/lxc/8200");
    cleanup_outcome struct outcome running_in = enroll("8200");
    cleanup_outcome struct outcome running = felhomctl("unenroll", "8200", NULL);
    assert_contains(&running.out, "Next: the guest keeps its mount, now empty, until it stops.");
    scratch_write("pve/qemu-server/8201.conf", "name: vm\n");
    cleanup_outcome struct outcome machine_in = enroll("8201");
    cleanup_outcome struct outcome machine = felhomctl("unenroll", "8201", NULL);
    assert_contains(&machine.out, "Next: nothing.");
}

static void unenrolling_ends_tokens_even_of_a_destroyed_guest(void **state)
{
    (void)state;
    struct error error;
    cleanup_free char *state_dir = scratch_path("state");
    cleanup_free char *path = scratch_path(CONFIG);
    cleanup_store struct store *store = NULL;
    struct token token;
    struct token_check check;
    cleanup_outcome struct outcome in = enroll("8200");
    assert_int_equal(store_open(state_dir, STORE_OPEN_EXISTING, 1000, &store, &error), 0);
    assert_int_equal(token_mint(store, 8200, 1000, 0, &token, &error), 0);
    assert_int_equal(unlink(path), 0);
    cleanup_outcome struct outcome out = felhomctl("unenroll", "8200", NULL);
    assert_int_equal(out.status, 0);
    assert_contains(&out.out, "1 revoked");
    assert_contains(&out.out, "there is none on this node");
    assert_contains(&out.out, "Next: nothing, as there is no guest 8200 on this node.");
    assert_int_equal(
        token_check(store, token.text.text, strlen(token.text.text), 2000, &check, &error), 0);
    assert_int_not_equal(check.verdict, TOKEN_GOOD);
    token_text_wipe(&token.text);
}

static void our_mount_is_taken_away_and_no_other(void **state)
{
    (void)state;
    cleanup_free char *guest = scratch_path("run/guests/8200");
    cleanup_free char *export = scratch_path("run/export/8200");
    cleanup_outcome struct outcome in = enroll("8200");
    scratch_make_directory("run/guests/8200");
    scratch_make_directory("run/export/8200");
    if (geteuid() != 0 || mount("none", export, "tmpfs", 0, NULL) < 0)
        skip();
    cleanup_outcome struct outcome refused = felhomctl("unenroll", "8200", NULL);
    int unmounted = umount(export);
    assert_int_equal(unmounted, 0);
    assert_int_equal(refused.status, 1);
    assert_contains(&refused.err, "/run/export/8200 is a mount, but not of ");
    assert_int_equal(mount(guest, export, NULL, MS_BIND, NULL), 0);
    cleanup_outcome struct outcome out = felhomctl("unenroll", "8200", NULL);
    (void)umount2(export, MNT_DETACH);
    assert_int_equal(out.status, 0);
    assert_false(scratch_exists("run/export/8200"));
    assert_false(scratch_exists("run/guests/8200"));
}

static void files_of_others_are_not_deleted(void **state)
{
    (void)state;
    cleanup_outcome struct outcome in = enroll("8200");
    scratch_make_directory("run/guests/8200");
    scratch_write("run/guests/8200/mine", "x");
    cleanup_outcome struct outcome out = felhomctl("unenroll", "8200", NULL);
    assert_int_equal(out.status, 1);
    assert_contains(&out.err, "holds files that are not the agent's");
    assert_true(scratch_exists("run/guests/8200/mine"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_guest_is_enrolled_once, setup, teardown),
        cmocka_unit_test_setup_teardown(the_mount_form_switches_when_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(a_running_guest_is_taken_for_one, setup, teardown),
        cmocka_unit_test_setup_teardown(a_virtual_machine_gets_the_hook_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_template_is_warned_of, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_done_is_refused_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_foreign_hookscript_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_locked_guest_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(options_are_put_over_the_enrolment, setup, teardown),
        cmocka_unit_test_setup_teardown(controller_keys_are_never_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_enrolment_file_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(unenrolling_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(unenrolling_says_what_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(unenrolling_ends_tokens_even_of_a_destroyed_guest, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(our_mount_is_taken_away_and_no_other, setup, teardown),
        cmocka_unit_test_setup_teardown(files_of_others_are_not_deleted, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
