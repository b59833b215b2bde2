/* SPDX-License-Identifier: Apache-2.0 */
/* felhomd --reload: who asks is told how the reload ended that its signal has begun. */
#include "server/systemd/reload.h"

#include <signal.h>
#include <sys/wait.h>

#include "store/base/nudge.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/test.h"

#define PATIENCE_MS 600000

static struct reload reload;

static int set_up(void **state)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    if (scratch_make(state) < 0)
        return -1;
    shell("mkdir state");
    reload_begin(&reload, in_scratch("state"));
    return 0;
}

static int tear_down(void **state)
{
    reload_end(&reload);
    return scratch_remove(state);
}

static void wait_for_signal(void)
{
    int number;
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGHUP);
    assert_int_equal(sigwait(&signals, &number), 0);
}

/* In a child, which leaves the message in a file. */
static pid_t ask(const char *file, int timeout_ms)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct error reason = {.message = "done"};
    reload_end(&reload);
    (void)reload_request(in_scratch("state"), timeout_ms, &reason);
    FILE *out = fopen(in_scratch(file), "we");
    _exit(out && fprintf(out, "%s\n", reason.message) > 0 && fclose(out) == 0 ? 0 : 1);
}

static void assert_told(pid_t asker, const char *file, const char *message)
{
    int status;
    cleanup_free char *line = mem_format("%s\n", message);
    assert_int_equal(waitpid(asker, &status, 0), asker);
    assert_int_equal(status, 0);
    assert_content(file, line);
}

static void test_an_end_is_told(void **state)
{
    (void)state;
    const struct error refusal = {ERROR_CONFLICT, "paths.state cannot change\n"};
    pid_t asker = ask("asked", PATIENCE_MS);
    wait_for_signal();
    reload_accept(&reload);
    reload_finish(&reload, NULL);
    assert_told(asker, "asked", "done");
    asker = ask("asked", PATIENCE_MS);
    wait_for_signal();
    reload_accept(&reload);
    reload_finish(&reload, &refusal);
    assert_told(asker, "asked",
                "felhomd has kept its old configuration: paths.state cannot change?");
}

/* agent.yaml may have been read before it asked. */
static void test_who_asks_during_a_reload_is_told_of_the_next(void **state)
{
    (void)state;
    const struct error refusal = {ERROR_INVALID, "bad"};
    pid_t first = ask("first", PATIENCE_MS);
    wait_for_signal();
    reload_accept(&reload);
    pid_t second = ask("second", PATIENCE_MS);
    wait_for_signal();
    reload_finish(&reload, &refusal);
    assert_told(first, "first", "felhomd has kept its old configuration: bad");
    reload_accept(&reload);
    reload_finish(&reload, NULL);
    assert_told(second, "second", "done");
}

static void test_no_end(void **state)
{
    (void)state;
    pid_t asker = ask("asked", PATIENCE_MS);
    wait_for_signal();
    reload_accept(&reload);
    reload_end(&reload);
    assert_told(asker, "asked", "felhomd has ended meanwhile; journalctl -u felhomd says why");
    reload_begin(&reload, in_scratch("state"));
    asker = ask("asked", 1);
    assert_told(asker, "asked", "felhomd has not reloaded within 0 s");
    wait_for_signal();
}

static void assert_ends(const char *text, const char *ending)
{
    size_t length = strlen(text);
    if (length < strlen(ending) || strcmp(text + length - strlen(ending), ending) != 0)
        fail_test("\"%s\" does not end in \"%s\"", text, ending);
}

static void test_nobody_to_ask(void **state)
{
    (void)state;
    struct error problem;
    const char *state_dir = in_scratch("state");
    reload_end(&reload);
    assert_int_equal(reload_request(state_dir, PATIENCE_MS, &problem), -1);
    assert_ends(problem.message, "/state/reload: Connection refused: systemctl restart felhomd");
    shell("rm state/reload; mkdir state/reload");
    assert_int_equal(reload_request(state_dir, PATIENCE_MS, &problem), -1);
    assert_ends(problem.message,
                "/state/reload: Socket operation on non-socket: systemctl restart felhomd");
    reload_begin(&reload, state_dir); /* which logs that it cannot */
    assert_int_equal(reload.socket, -1);
    reload_accept(&reload);
    reload_finish(&reload, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_end_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_asks_during_a_reload_is_told_of_the_next, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_no_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_to_ask, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
