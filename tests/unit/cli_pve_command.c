/* SPDX-License-Identifier: Apache-2.0 */
/* Commands whose output is read, that take too long or that are interrupted. */
#include "tests/unit/test.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/base/session.h"
#include "cli/pve/command.h"
#include "schema/base/cleanup.h"
#include "store/base/clock.h"

static struct error error;

static int run(const char *script, struct buffer *output, struct pve_limits limits)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    const struct pve_command command = {argv, output, limits};
    error = (struct error){.kind = ERROR_NONE};
    return pve_command_run_as(&command, &error);
}

static struct pve_limits until(int64_t ms)
{
    return (struct pve_limits){clock_steady_us() + ms * 1000, -1};
}

static void output_is_kept(void **state)
{
    (void)state;
    cleanup_buffer struct buffer output = BUFFER_EMPTY;
    assert_int_equal(run("echo one; echo bad >&2; echo two", &output, PVE_NO_LIMITS), 0);
    assert_string_equal(buffer_text(&output), "one\ntwo\n");
    assert_int_equal(run("echo three", &output, PVE_NO_LIMITS), 0);
    assert_string_equal(buffer_text(&output), "one\ntwo\nthree\n");
    assert_int_equal(run("echo four; echo bad >&2; exit 2", &output, PVE_NO_LIMITS), -1);
    assert_string_equal(error.message, "/bin/sh failed with 2: bad");
    assert_int_equal(error.kind, ERROR_SYSTEM);
}

static void much_output_is_read(void **state)
{
    (void)state;
    cleanup_buffer struct buffer output = BUFFER_EMPTY;
    assert_int_equal(run("head -c 3000000 /dev/zero | tr '\\0' x; head -c 3000000 /dev/zero >&2",
                         &output, PVE_NO_LIMITS),
                     0);
    assert_int_equal(output.length, 3000000);
    buffer_free(&output);
    assert_int_equal(run("head -c 9000000 /dev/zero", &output, PVE_NO_LIMITS), 0);
    assert_in_range(output.length, 4 << 20, (4 << 20) + 4096);
}

static void capture_is_the_same(void **state)
{
    (void)state;
    const char *const argv[] = {"/bin/echo", "x", NULL};
    cleanup_buffer struct buffer output = BUFFER_EMPTY;
    assert_int_equal(pve_command_capture(argv, &output, &error), 0);
    assert_string_equal(buffer_text(&output), "x\n");
}

/* A program that goes on in the background with the descriptors that it inherited. */
static void only_the_command_is_waited_for(void **state)
{
    (void)state;
    cleanup_buffer struct buffer output = BUFFER_EMPTY;
    int64_t before_us = clock_steady_us();
    assert_int_equal(run("sleep 3600 & echo $!", &output, PVE_NO_LIMITS), 0);
    assert_in_range(clock_steady_us() - before_us, 0, INT64_C(1800000000));
    assert_int_equal(kill(atoi(buffer_text(&output)), SIGKILL), 0);
}

static void one_that_takes_too_long_is_stopped(void **state)
{
    (void)state;
    assert_int_equal(run("exec sleep 3600", NULL, until(100)), -1);
    assert_int_equal(error.kind, ERROR_BUSY);
    assert_string_equal(error.message, "/bin/sh took too long and was stopped");
    assert_int_equal(run("exec sleep 3600", NULL, until(-100)), -1);
    assert_int_equal(error.kind, ERROR_BUSY);
    assert_int_equal(run("true", NULL, until(600000)), 0);
}

/* An interrupted command has time to clean up, and its messages are read; exit status 0 does not
 * make it a success. */
static void one_that_is_stopped_may_clean_up(void **state)
{
    (void)state;
    assert_int_equal(run("trap 'echo cleaned >&2; exit 0' TERM; while :; do sleep 0.05; done", NULL,
                         until(3000)),
                     -1);
    assert_string_equal(error.message, "/bin/sh took too long and was stopped: cleaned");
}

static void an_interrupt_stops_it(void **state)
{
    (void)state;
    cleanup_close int fd = -1;
    assert_int_equal(session_interrupt_open(&fd, &error), 0);
    const struct pve_limits limits = {0, fd};
    assert_false(session_interrupt_wait(fd, 0));
    assert_int_equal(run("true", NULL, limits), 0);
    assert_int_equal(run("kill -INT $PPID; exec sleep 3600", NULL, limits), -1);
    assert_int_equal(error.kind, ERROR_BUSY);
    assert_string_equal(error.message, "/bin/sh was interrupted");
    assert_true(session_interrupt_wait(fd, 0));
    assert_true(session_interrupt_wait(fd, 60000));
    assert_int_equal(run("exec sleep 3600", NULL, limits), -1);
    assert_int_equal(run("true", NULL, PVE_NO_LIMITS), 0);
}

/* The command does not inherit the signal mask, and has a process group of its own. */
static void the_command_starts_afresh(void **state)
{
    (void)state;
    cleanup_close int fd = -1;
    cleanup_buffer struct buffer output = BUFFER_EMPTY;
    assert_int_equal(session_interrupt_open(&fd, &error), 0);
    assert_int_equal(run("grep -c 'SigBlk:.*[1-9a-f]' /proc/self/status; env | sort | cut -d= -f1 |"
                         " grep -v '^_$\\|PWD\\|SHLVL\\|OLDPWD' | tr '\\n' ' '",
                         &output, PVE_NO_LIMITS),
                     0);
    assert_string_equal(buffer_text(&output), "0\nLC_ALL PATH ");
    buffer_free(&output);
    assert_int_equal(run("echo $$; ps -o pgid= $$ 2>/dev/null || cut -d' ' -f5 /proc/$$/stat",
                         &output, PVE_NO_LIMITS),
                     0);
    char *rest = NULL;
    long pid = strtol(buffer_text(&output), &rest, 10);
    assert_int_equal(strtol(rest, NULL, 10), pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_is_kept),
        cmocka_unit_test(much_output_is_read),
        cmocka_unit_test(capture_is_the_same),
        cmocka_unit_test(only_the_command_is_waited_for),
        cmocka_unit_test(one_that_takes_too_long_is_stopped),
        cmocka_unit_test(one_that_is_stopped_may_clean_up),
        cmocka_unit_test(an_interrupt_stops_it),
        cmocka_unit_test(the_command_starts_afresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
