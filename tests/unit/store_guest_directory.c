/* SPDX-License-Identifier: Apache-2.0 */
/* GUESTS/VMID: what the guest sees, and what a killed process or an attacker may have left
 * there. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

#include "store/files/guest_directory.h"
#include "tests/unit/scratch.h"

#define VMID   8200u
#define MAPPED 100000u
#define USER   12345u

static struct error error;

static struct guest_files files_of(const char *generation)
{
    struct guest_files files = {0};
    buffer_add_format(&files.token, "token %s\n", generation);
    buffer_add_format(&files.bootstrap_json, "bootstrap %s\n", generation);
    buffer_add_format(&files.controller_yaml, "controller %s\n", generation);
    buffer_add_format(&files.agent_crt, "certificate %s\n", generation);
    return files;
}

static int write_drafts(const char *generation, struct guest_drafts *ret)
{
    cleanup(guest_files_free) struct guest_files files = files_of(generation);
    return guest_drafts_write(in_scratch("run/guests"), VMID, MAPPED, MAPPED + 1, &files, ret,
                              &error);
}

static int populate(const char *generation)
{
    cleanup(guest_drafts_free) struct guest_drafts drafts = {.dirfd = -1};
    if (write_drafts(generation, &drafts) < 0)
        return -1;
    return guest_drafts_publish(&drafts, &error);
}

static int scrub(void)
{
    return guest_directory_scrub(in_scratch("run/guests"), VMID, &error);
}

static int remove_all(void)
{
    return guest_directory_remove(in_scratch("run/guests"), VMID, &error);
}

static void assert_entry(const char *name, mode_t mode)
{
    struct stat status = status_of(name);
    bool root = geteuid() == 0;
    assert_int_equal(status.st_mode, mode);
    assert_int_equal(status.st_uid, root ? MAPPED : geteuid());
    assert_int_equal(status.st_gid, root ? MAPPED + 1 : getegid());
}

static void assert_populated(const char *generation)
{
    cleanup(guest_files_free) struct guest_files files = files_of(generation);
    assert_content("run/guests/8200/token", buffer_text(&files.token));
    assert_content("run/guests/8200/bootstrap.json", buffer_text(&files.bootstrap_json));
    assert_content("run/guests/8200/controller.yaml", buffer_text(&files.controller_yaml));
    assert_content("run/guests/8200/agent.crt", buffer_text(&files.agent_crt));
    assert_entry("run/guests/8200", S_IFDIR | 0700);
    assert_entry("run/guests/8200/token", S_IFREG | 0600);
    assert_entry("run/guests/8200/bootstrap.json", S_IFREG | 0600);
    assert_entry("run/guests/8200/controller.yaml", S_IFREG | 0600);
    assert_entry("run/guests/8200/agent.crt", S_IFREG | 0644);
    assert_int_equal(count_entries(in_scratch("run/guests/8200")), GUEST_FILE_COUNT);
}

static void test_populate(void **state)
{
    (void)state;
    mode_t mask = umask(0077);
    assert_int_equal(populate("1"), 0);
    (void)umask(mask);
    assert_populated("1");
    assert_int_equal(status_of("run").st_mode, S_IFDIR | 0711);
    assert_int_equal(status_of("run/guests").st_mode, S_IFDIR | 0711);
    assert_int_equal(status_of("run/guests").st_uid, geteuid());
}

static void test_again_in_the_same_directory(void **state)
{
    (void)state;
    assert_int_equal(populate("1"), 0);
    ino_t before = status_of("run/guests/8200").st_ino;
    assert_int_equal(populate("2"), 0);
    assert_populated("2");
    assert_int_equal(status_of("run/guests/8200").st_ino, before);
}

static void test_owner_and_mode_are_set_right(void **state)
{
    (void)state;
    shell("mkdir -p run/guests/8200; chmod 711 run run/guests; chmod 755 run/guests/8200");
    if (geteuid() == 0)
        shell("chown 4711:4712 run/guests/8200");
    ino_t before = status_of("run/guests/8200").st_ino;
    assert_int_equal(populate("1"), 0);
    assert_populated("1");
    assert_int_equal(status_of("run/guests/8200").st_ino, before);
}

static void test_parents_keep_their_mode(void **state)
{
    (void)state;
    shell("mkdir -p run/guests; chmod 755 run; chmod 751 run/guests");
    assert_int_equal(populate("1"), 0);
    assert_int_equal(status_of("run").st_mode, S_IFDIR | 0755);
    assert_int_equal(status_of("run/guests").st_mode, S_IFDIR | 0751);
}

static void test_drafts_are_not_seen(void **state)
{
    (void)state;
    struct guest_drafts drafts = {.dirfd = -1};
    assert_int_equal(populate("1"), 0);
    assert_int_equal(write_drafts("2", &drafts), 0);
    assert_content("run/guests/8200/token", "token 1\n");
    assert_content("run/guests/8200/agent.crt", "certificate 1\n");
    assert_int_equal(count_entries(in_scratch("run/guests/8200")), 2 * GUEST_FILE_COUNT);
    guest_drafts_free(&drafts);
    assert_int_equal(drafts.dirfd, -1);
    guest_drafts_free(&drafts);
    assert_populated("1");
}

/* One that cannot be made, because the operator's template is at fault, leaves none with a token
 * that has ended. */
static void test_no_controller_yaml(void **state)
{
    (void)state;
    cleanup(guest_files_free) struct guest_files files = files_of("1");
    cleanup(guest_drafts_free) struct guest_drafts drafts = {.dirfd = -1};
    assert_int_equal(populate("1"), 0);
    buffer_free(&files.controller_yaml);
    assert_int_equal(guest_drafts_write(in_scratch("run/guests"), VMID, MAPPED, MAPPED + 1, &files,
                                        &drafts, &error),
                     0);
    assert_int_equal(drafts.count, GUEST_FILE_COUNT - 1);
    assert_content("run/guests/8200/controller.yaml", "controller 1\n");
    assert_int_equal(guest_drafts_publish(&drafts, &error), 0);
    assert_int_equal(count_entries(in_scratch("run/guests/8200")), GUEST_FILE_COUNT - 1);
    assert_content("run/guests/8200/token", buffer_text(&files.token));
    assert_int_equal(populate("2"), 0);
    assert_populated("2");
}

static int die_with_drafts(void)
{
    struct guest_drafts drafts = {.dirfd = -1};
    EXPECT(write_drafts("lost", &drafts) == 0);
    (void)kill(getpid(), SIGKILL);
    return 0;
}

static void test_drafts_of_a_killed_run_go(void **state)
{
    (void)state;
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(die_with_drafts());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(count_entries(in_scratch("run/guests/8200")), GUEST_FILE_COUNT);
    assert_int_equal(populate("1"), 0);
    assert_populated("1");
}

static void test_scrub_takes_drafts_of_a_killed_run(void **state)
{
    (void)state;
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(die_with_drafts());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(scrub(), 0);
    assert_int_equal(count_entries(in_scratch("run/guests/8200")), 0);
}

static void test_other_files_are_left_alone(void **state)
{
    (void)state;
    assert_int_equal(populate("1"), 0);
    shell("touch run/guests/8200/notes run/guests/8200/.token run/guests/8200/.token.swp");
    assert_int_equal(populate("2"), 0);
    assert_int_equal(scrub(), 0);
    assert_int_equal(count_entries(in_scratch("run/guests/8200")), 1 + 3);
}

static void test_link_in_the_place_of_the_directory(void **state)
{
    (void)state;
    shell("mkdir -p run/guests victim; chmod 711 run run/guests; chmod 755 victim; "
          "touch victim/token; ln -s ../../victim run/guests/8200");
    struct stat before = status_of("victim");
    assert_int_equal(populate("1"), -1);
    assert_int_equal(error.kind, ERROR_DENIED);
    assert_non_null(strstr(error.message, "/run/guests/8200 is a symbolic link: "));
    assert_int_equal(scrub(), -1);
    assert_int_equal(error.kind, ERROR_DENIED);
    assert_int_equal(remove_all(), -1);
    assert_int_equal(error.kind, ERROR_DENIED);
    struct stat after = status_of("victim");
    assert_memory_equal(&before.st_ctim, &after.st_ctim, sizeof before.st_ctim);
    assert_int_equal(count_entries(in_scratch("victim")), 1);
    assert_true(S_ISLNK(status_of("run/guests/8200").st_mode));
}

static void test_file_in_the_place_of_the_directory(void **state)
{
    (void)state;
    shell("mkdir -p run/guests; chmod 711 run run/guests; printf mine >run/guests/8200");
    assert_int_equal(populate("1"), -1);
    assert_non_null(
        strstr(error.message, "/run/guests/8200 is not a directory: move it out of the way"));
    assert_int_equal(scrub(), -1);
    assert_content("run/guests/8200", "mine");
}

static void test_link_above_the_directory(void **state)
{
    (void)state;
    shell("mkdir -p real/guests; chmod 711 real real/guests; ln -s real run");
    assert_int_equal(populate("1"), -1);
    assert_non_null(strstr(error.message, "/run is a symbolic link: "));
    assert_int_equal(scrub(), -1);
    assert_int_equal(count_entries(in_scratch("real/guests")), 0);
}

static void test_parent_that_others_may_write_to(void **state)
{
    (void)state;
    shell("mkdir -p run/guests; chmod 777 run/guests");
    assert_int_equal(populate("1"), -1);
    assert_int_equal(error.kind, ERROR_DENIED);
    assert_non_null(strstr(error.message, "/run/guests may be written to by others (mode 0777)"));
    assert_int_equal(count_entries(in_scratch("run/guests")), 0);
}

static void test_parent_of_another_user(void **state)
{
    (void)state;
    needs_root();
    shell("mkdir -p run/guests; chown %u run", USER);
    assert_int_equal(populate("1"), -1);
    assert_int_equal(error.kind, ERROR_DENIED);
    assert_non_null(strstr(error.message, "/run belongs to uid 12345"));
}

/* Whatever has a file's name is itself replaced or removed; no link is followed. */
static void test_links_inside_are_not_followed(void **state)
{
    (void)state;
    shell("printf mine >victim; mkdir -p run/guests/8200; chmod 711 run run/guests; "
          "chmod 600 victim; cd run/guests/8200; ln -s ../../../victim token; "
          "ln -s ../../../victim agent.crt; ln -s ../../../victim .token.0123456789abcdef");
    struct stat before = status_of("victim");
    assert_int_equal(populate("1"), 0);
    assert_populated("1");
    shell("cd run/guests/8200; ln -sf ../../../victim token");
    assert_int_equal(scrub(), 0);
    assert_false(is_there("run/guests/8200/token"));
    struct stat after = status_of("victim");
    assert_memory_equal(&before.st_ctim, &after.st_ctim, sizeof before.st_ctim);
    assert_content("victim", "mine");
}

static void test_scrub(void **state)
{
    (void)state;
    assert_int_equal(populate("1"), 0);
    ino_t before = status_of("run/guests/8200").st_ino;
    assert_int_equal(scrub(), 0);
    assert_int_equal(scrub(), 0);
    assert_int_equal(count_entries(in_scratch("run/guests/8200")), 1);
    assert_content("run/guests/8200/agent.crt", "certificate 1\n");
    assert_int_equal(status_of("run/guests/8200").st_ino, before);
    assert_int_equal(populate("2"), 0);
    assert_populated("2");
}

static void test_nothing_to_scrub(void **state)
{
    (void)state;
    assert_int_equal(scrub(), 0);
    assert_int_equal(remove_all(), 0);
    shell("mkdir -p run/guests; chmod 711 run run/guests");
    assert_int_equal(scrub(), 0);
    assert_int_equal(remove_all(), 0);
    assert_int_equal(count_entries(in_scratch("run/guests")), 0);
}

static void test_scrub_goes_on_after_a_failure(void **state)
{
    (void)state;
    assert_int_equal(populate("1"), 0);
    shell("cd run/guests/8200; rm controller.yaml; mkdir controller.yaml");
    assert_int_equal(scrub(), -1);
    assert_int_equal(error.kind, ERROR_SYSTEM);
    assert_non_null(strstr(error.message, "/8200/controller.yaml: Is a directory"));
    assert_false(is_there("run/guests/8200/token"));
    assert_false(is_there("run/guests/8200/bootstrap.json"));
}

static void test_publish_names_what_it_cannot_replace(void **state)
{
    (void)state;
    assert_int_equal(populate("1"), 0);
    shell("cd run/guests/8200; rm token; mkdir token");
    assert_int_equal(populate("2"), -1);
    assert_string_equal(error.message, "cannot put token in place: Is a directory");
    assert_int_equal(count_entries(in_scratch("run/guests/8200")), GUEST_FILE_COUNT);
}

static void test_remove(void **state)
{
    (void)state;
    assert_int_equal(populate("1"), 0);
    assert_int_equal(remove_all(), 0);
    assert_int_equal(count_entries(in_scratch("run/guests")), 0);
}

static void test_remove_spares_what_is_not_ours(void **state)
{
    (void)state;
    assert_int_equal(populate("1"), 0);
    shell("touch run/guests/8200/notes");
    assert_int_equal(remove_all(), -1);
    assert_int_equal(error.kind, ERROR_CONFLICT);
    assert_non_null(strstr(error.message, "/run/guests/8200 holds files that are not the agent's"));
    assert_int_equal(count_entries(in_scratch("run/guests/8200")), 1);
}

static int populate_as_ordinary_user(void)
{
    struct stat status;
    EXPECT(setresgid(USER, USER, USER) == 0 && setresuid(USER, USER, USER) == 0);
    EXPECT(populate("1") == 0);
    EXPECT(lstat(in_scratch("run/guests/8200/token"), &status) == 0);
    EXPECT(status.st_uid == USER && status.st_gid == USER);
    EXPECT(scrub() == 0 && remove_all() == 0);
    return 0;
}

static void test_ordinary_user(void **state)
{
    (void)state;
    needs_root();
    shell("chmod 711 .; mkdir run; chown %u:%u run", USER, USER);
    in_child(populate_as_ordinary_user);
}

static int populate_a_full_file_system(void)
{
    cleanup(guest_files_free) struct guest_files files = files_of("2");
    struct guest_drafts drafts = {.dirfd = -1};
    EXPECT(unshare(CLONE_NEWNS) == 0);
    EXPECT(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    EXPECT(mount("tmpfs", scratch, "tmpfs", 0, "size=64k,mode=711") == 0);
    EXPECT(populate("1") == 0);
    memset(buffer_reserve(&files.token, 1 << 20), 'x', 1 << 20);
    files.token.length += 1 << 20;
    EXPECT(guest_drafts_write(in_scratch("run/guests"), VMID, MAPPED, MAPPED, &files, &drafts,
                              &error) == -1);
    EXPECT(strstr(error.message, "/run/guests/8200: cannot write token: No space left") != NULL);
    EXPECT(drafts.dirfd == -1);
    EXPECT(count_entries(in_scratch("run/guests/8200")) == GUEST_FILE_COUNT);
    EXPECT(status_of("run/guests/8200/token").st_size == 8);
    return populate("3");
}

static void test_full_file_system(void **state)
{
    (void)state;
    needs_root();
    in_child(populate_a_full_file_system);
}

#define test(function) cmocka_unit_test_setup_teardown(function, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(test_populate),
        test(test_again_in_the_same_directory),
        test(test_owner_and_mode_are_set_right),
        test(test_parents_keep_their_mode),
        test(test_drafts_are_not_seen),
        test(test_drafts_of_a_killed_run_go),
        test(test_no_controller_yaml),
        test(test_scrub_takes_drafts_of_a_killed_run),
        test(test_other_files_are_left_alone),
        test(test_link_in_the_place_of_the_directory),
        test(test_file_in_the_place_of_the_directory),
        test(test_link_above_the_directory),
        test(test_parent_that_others_may_write_to),
        test(test_parent_of_another_user),
        test(test_links_inside_are_not_followed),
        test(test_scrub),
        test(test_nothing_to_scrub),
        test(test_scrub_goes_on_after_a_failure),
        test(test_publish_names_what_it_cannot_replace),
        test(test_remove),
        test(test_remove_spares_what_is_not_ours),
        test(test_ordinary_user),
        test(test_full_file_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
