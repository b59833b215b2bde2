/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's configuration file under Proxmox's lock, and Proxmox's commands. */
#include "cli/pve/config.h"

#include <errno.h>
#include <string.h>
#include <sys/file.h>

#include "cli/pve/command.h"
#include "store/files/config_file.h"
#include "tests/unit/cli_scratch.h"
#include "tests/unit/test.h"

#define CONTENT "hostname: web\n\n[snap]\nlock: backup\n"
#define LOCK    "run/lock/pve-config-8200.lock"

static struct config config;

static int setup(void **state)
{
    struct error error;
    if (node_make(state) < 0)
        return -1;
    scratch_make_directory("run");
    scratch_write("pve/lxc/8200.conf", CONTENT);
    return config_file_load(&config, &error);
}

static int teardown(void **state)
{
    config_free(&config);
    return scratch_remove(state);
}

static void a_file_is_replaced_whole(void **state)
{
    (void)state;
    struct error error;
    cleanup_pve_config struct pve_config file = PVE_CONFIG_CLOSED;
    assert_int_equal(pve_config_open(&config, GUEST_LXC, 8200, 0, &file, &error), 0);
    assert_string_equal(buffer_text(&file.text), CONTENT);
    buffer_add_text(&file.text, "more");
    assert_int_equal(pve_config_write(&file, &error), 0);
    cleanup_buffer struct buffer now = scratch_read("pve/nodes/n1/lxc/8200.conf");
    assert_string_equal(buffer_text(&now), CONTENT "more");
    assert_int_equal(scratch_mode("pve/nodes/n1/lxc/8200.conf"), 0640);
    cleanup_free char *left = mem_format("pve/lxc/8200.conf.tmp.%d", getpid());
    assert_false(scratch_exists(left));
}

static void the_owner_is_kept(void **state)
{
    (void)state;
    struct error error;
    struct stat status;
    cleanup_free char *path = scratch_path("pve/nodes/n1/lxc/8200.conf");
    cleanup_pve_config struct pve_config file = PVE_CONFIG_CLOSED;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(path, 0, 33), 0);
    assert_int_equal(pve_config_open(&config, GUEST_LXC, 8200, 0, &file, &error), 0);
    assert_int_equal(pve_config_write(&file, &error), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_gid, 33);
}

/* Holds the lock file as Proxmox does. */
static int hold_lock(void)
{
    cleanup_free char *path = scratch_path(LOCK);
    if (!scratch_exists("run/lock"))
        scratch_make_directory("run/lock");
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    return fd;
}

static void a_held_lock_is_waited_for_no_longer_than_asked(void **state)
{
    (void)state;
    struct error error;
    cleanup_pve_config struct pve_config file = PVE_CONFIG_CLOSED;
    cleanup_close int held = hold_lock();
    assert_int_equal(pve_config_open(&config, GUEST_LXC, 8200, 120, &file, &error), -1);
    assert_int_equal(error.kind, ERROR_BUSY);
    assert_string_equal(error.message, "guest 8200: its configuration is in use by another task: "
                                       "try again when that is done");
    pid_t pid = fork();
    if (pid == 0) {
        (void)usleep(150 * 1000);
        (void)flock(held, LOCK_UN);
        _exit(0);
    }
    assert_int_equal(pve_config_open(&config, GUEST_LXC, 8200, 600000, &file, &error), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void the_lock_is_held_until_closing(void **state)
{
    (void)state;
    struct error error;
    struct pve_config file = PVE_CONFIG_CLOSED;
    cleanup_free char *path = scratch_path(LOCK);
    assert_int_equal(pve_config_open(&config, GUEST_LXC, 8200, 0, &file, &error), 0);
    cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
    assert_int_equal(errno, EWOULDBLOCK);
    pve_config_close(&file);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
}

static void a_locked_guest_is_left_alone(void **state)
{
    (void)state;
    struct error error;
    cleanup_pve_config struct pve_config file = PVE_CONFIG_CLOSED;
    scratch_write("pve/lxc/8200.conf", "lock: backup\nhostname: web\n");
    assert_int_equal(pve_config_open(&config, GUEST_LXC, 8200, 0, &file, &error), -1);
    assert_int_equal(error.kind, ERROR_CONFLICT);
    assert_string_equal(error.message, "guest 8200 is locked (backup): wait until that is done, or "
                                       "unlock it if nothing is running");
    assert_int_equal(file.lock_fd, -1);
}

static void a_missing_guest_is_said(void **state)
{
    (void)state;
    struct error error;
    cleanup_pve_config struct pve_config file = PVE_CONFIG_CLOSED;
    assert_int_equal(pve_config_open(&config, GUEST_LXC, 8300, 0, &file, &error), -1);
    assert_int_equal(error.kind, ERROR_MISSING);
    assert_int_equal(pve_config_open(&config, GUEST_QEMU, 8200, 0, &file, &error), -1);
    assert_int_equal(error.kind, ERROR_MISSING);
}

/* A process that died has left the file; this process has got the same id. */
static void a_leftover_of_a_dead_process_is_replaced(void **state)
{
    (void)state;
    struct error error;
    cleanup_pve_config struct pve_config file = PVE_CONFIG_CLOSED;
    cleanup_free char *left = mem_format("pve/lxc/8200.conf.tmp.%d", getpid());
    cleanup_free char *path = scratch_path(left);
    cleanup_free char *victim = scratch_path("victim");
    scratch_write("victim", "x");
    assert_int_equal(symlink(victim, path), 0);
    assert_int_equal(pve_config_open(&config, GUEST_LXC, 8200, 0, &file, &error), 0);
    assert_int_equal(pve_config_write(&file, &error), 0);
    assert_false(scratch_exists(left));
    cleanup_buffer struct buffer now = scratch_read("pve/nodes/n1/lxc/8200.conf");
    assert_string_equal(buffer_text(&now), CONTENT);
    cleanup_buffer struct buffer kept = scratch_read("victim");
    assert_string_equal(buffer_text(&kept), "x");
}

static void what_cannot_be_removed_is_left_alone(void **state)
{
    (void)state;
    struct error error;
    cleanup_pve_config struct pve_config file = PVE_CONFIG_CLOSED;
    cleanup_free char *left = mem_format("pve/lxc/8200.conf.tmp.%d", getpid());
    cleanup_free char *path = scratch_path(left);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(pve_config_open(&config, GUEST_LXC, 8200, 0, &file, &error), 0);
    assert_int_equal(pve_config_write(&file, &error), -1);
    assert_string_equal(error.message, "cannot write 8200.conf: File exists");
    assert_true(scratch_exists(left));
}

static void a_command_that_succeeds_says_nothing(void **state)
{
    (void)state;
    struct error error = {0};
    const char *const argv[] = {"/bin/sh", "-c", "echo out; echo err >&2", NULL};
    assert_int_equal(pve_command_run(argv, &error), 0);
    assert_int_equal(error.kind, ERROR_NONE);
}

static void a_command_that_fails_is_quoted(void **state)
{
    (void)state;
    struct error error;
    const char *const argv[] = {"/bin/sh", "-c", "printf 'one\\ntwo\\033\\n' >&2; exit 3", NULL};
    const char *const killed[] = {"/bin/sh", "-c", "kill -9 $$", NULL};
    const char *const missing[] = {"/nonexistent/pct", NULL};
    assert_int_equal(pve_command_run(argv, &error), -1);
    assert_string_equal(error.message, "/bin/sh failed with 3: one two?");
    assert_int_equal(pve_command_run(killed, &error), -1);
    assert_string_equal(error.message, "/bin/sh was killed by signal 9");
    assert_int_equal(pve_command_run(missing, &error), -1);
    assert_string_equal(error.message, "cannot run /nonexistent/pct: No such file or directory");
}

static void a_command_inherits_nothing(void **state)
{
    (void)state;
    struct error error;
    const char *const argv[] = {
        "/bin/sh", "-c",
        "test -z \"$FELHOM_AGENT_CONFIG\" && test \"$LC_ALL\" = C && ! read x && test -z \"$x\"",
        NULL};
    assert_int_equal(pve_command_run(argv, &error), 0);
}

static void a_talkative_command_does_not_hang(void **state)
{
    (void)state;
    struct error error;
    const char *const argv[] = {"/bin/sh", "-c", "yes | head -c 300000 >&2; exit 1", NULL};
    assert_int_equal(pve_command_run(argv, &error), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_replaced_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(the_owner_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_held_lock_is_waited_for_no_longer_than_asked, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_lock_is_held_until_closing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_locked_guest_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_guest_is_said, setup, teardown),
        cmocka_unit_test_setup_teardown(a_leftover_of_a_dead_process_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_removed_is_left_alone, setup, teardown),
        cmocka_unit_test(a_command_that_succeeds_says_nothing),
        cmocka_unit_test(a_command_that_fails_is_quoted),
        cmocka_unit_test(a_command_inherits_nothing),
        cmocka_unit_test(a_talkative_command_does_not_hang),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
