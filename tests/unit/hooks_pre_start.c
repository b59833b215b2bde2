/* SPDX-License-Identifier: Apache-2.0 */
/* pre-start and other programs that work on the guest's directory: changes made while the hook
 * waited for the guest's lock are in what it then writes. */
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hooks/reaction.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/clock.h"
#include "store/files/guest_directory.h"
#include "store/identity/rollover.h"
#include "tests/unit/test.h"

#include "tests/unit/scratch.h"

static struct error error;
static struct config config;
static const struct in_addr loopback = {.s_addr = 0x0100007f};

/* The hook's end of a pipe to which its first lock is written before it is taken; -1: none. */
static int announce_fd = -1;

/* Replaces the C library's function. */
int flock(int fd, int operation)
{
    if (announce_fd >= 0 && write(announce_fd, "", 1) != 1)
        return -1;
    announce_fd = -1;
    return (int)syscall(SYS_flock, fd, operation);
}

static int set_up(void **state)
{
    struct identity identity = {0};
    bool made;
    if (scratch_make(state) < 0)
        return -1;
    shell("chmod 755 . && mkdir -p state enrolment pve/lxc && chmod 700 state && "
          "printf 'arch: amd64\\nhostname: web\\n' >pve/lxc/8200.conf");
    cleanup_free char *text =
        mem_format("local_api: {listen: '127.0.0.1:8443'}\n"
                   "paths: {state: %s/state, run: %s/run, guests: %s/guests, export: %s/export,\n"
                   "  pve: %s/pve, enrolment: %s/enrolment, cgroup: %s/cgroup}\n",
                   scratch, scratch, scratch, scratch, scratch, scratch, scratch);
    if (config_parse("agent.yaml", text, strlen(text), &config, &error) < 0 ||
        identity_ensure(in_scratch("state"), "host", loopback, &identity, &made, &error) < 0) {
        print_error("%s\n", error.message);
        return -1;
    }
    identity_free(&identity);
    return 0;
}

static int tear_down(void **state)
{
    shell("umount -l export/8200 2>/dev/null || true");
    config_free(&config);
    return scratch_remove(state);
}

static int start_guest(void)
{
    struct reaction reaction = {
        .config = &config,
        .vmid = 8200,
        .phase = "pre-start",
        .started_us = clock_steady_us(),
        .report = report_new(),
    };
    int result = react_pre_start(&reaction, &error);
    if (result < 0)
        print_error("%s\n", error.message);
    reaction_yield(&reaction);
    store_close(reaction.store);
    return result;
}

/* Starts the guest in a child, which waits for the lock that the caller has. */
static pid_t start_behind_lock(int lock)
{
    int ends[2];
    char mark;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        /* The lock belongs to every process that has the descriptor. */
        (void)close(lock);
        announce_fd = ends[1];
        _exit(start_guest() < 0);
    }
    assert_int_equal(close(ends[1]), 0);
    assert_int_equal(read(ends[0], &mark, 1), 1);
    assert_int_equal(close(ends[0]), 0);
    return child;
}

static void assert_started(pid_t child)
{
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void assert_bootstrap_has(const char *text)
{
    cleanup_buffer struct buffer content = BUFFER_EMPTY;
    assert_int_equal(
        guest_directory_read(config.paths.guests, 8200, "bootstrap.json", &content, &error), 0);
    if (!strstr(buffer_text(&content), text))
        fail_test("'%s' is not in %s", text, buffer_text(&content));
}

static void what_is_staged_while_it_waits_is_named(void **state)
{
    (void)state;
    bool changed = false;
    cleanup(rollover_free) struct rollover rollover = {0};
    cleanup_close int lock = -1;
    assert_int_equal(guest_directory_lock(&config, 8200, &lock, &error), 0);
    pid_t child = start_behind_lock(lock);
    assert_int_equal(rollover_stage(config.paths.state, "host", loopback, &changed, &error), 0);
    cleanup_close_fn(&lock);
    assert_started(child);
    assert_int_equal(rollover_load(config.paths.state, &rollover, &error), 0);
    assert_bootstrap_has(rollover.next.pins.leaf);
}

static void what_is_enrolled_while_it_waits_is_named(void **state)
{
    (void)state;
    cleanup_close int lock = -1;
    assert_int_equal(guest_directory_lock(&config, 8200, &lock, &error), 0);
    pid_t child = start_behind_lock(lock);
    shell("printf 'image: late-image\\n' >enrolment/8200.yaml");
    cleanup_close_fn(&lock);
    assert_started(child);
    assert_bootstrap_has("late-image");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_staged_while_it_waits_is_named),
        cmocka_unit_test(what_is_enrolled_while_it_waits_is_named),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
