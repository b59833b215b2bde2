/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a reaction does, its supervisor comes back in time with a word about it. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hooks/supervisor.h"
#include "schema/cleanup.h"
#include "schema/memory.h"
#include "store/clock.h"
#include "tests/unit/test.h"

static int react_well(struct reaction *reaction, struct error *error)
{
    (void)error;
    report_line(reaction->report, "done for %u", reaction->vmid);
    report_problem(reaction->report, "a warning");
    return 0;
}

static int react_with_failure(struct reaction *reaction, struct error *error)
{
    report_problem(reaction->report, "a warning");
    return fail(error, ERROR_INVALID, "the reason");
}

static int react_with_block(struct reaction *reaction, struct error *error)
{
    (void)reaction;
    return fail(error, ERROR_FOREIGN, "somebody else's");
}

static int hang(struct reaction *reaction, struct error *error)
{
    (void)reaction;
    (void)error;
    for (;;)
        (void)pause();
    return 0;
}

static int crash(struct reaction *reaction, struct error *error)
{
    (void)reaction;
    (void)error;
    (void)signal(SIGABRT, SIG_DFL);
    (void)raise(SIGKILL);
    return 0;
}

static int run_out_of_memory(struct reaction *reaction, struct error *error)
{
    (void)reaction;
    (void)error;
    mem_exhausted();
}

static int leave(struct reaction *reaction, struct error *error)
{
    (void)reaction;
    (void)error;
    _exit(3);
}

static struct report *outcome_of(int (*react)(struct reaction *, struct error *))
{
    const struct phase phase = {.name = "pre-start", .react = react};
    const struct config config = {.hook.deadline_ms = 300};
    struct reaction reaction = {
        .config = &config,
        .vmid = 8200,
        .phase = phase.name,
        .started_us = clock_steady_us(),
        .report = report_new(),
    };
    assert_non_null(reaction.report);
    supervise(&phase, &reaction);
    return reaction.report;
}

static void test_success(void **state)
{
    (void)state;
    const struct report *report = outcome_of(react_well);
    assert_int_equal(report->outcome, REPORT_DONE);
    assert_string_equal(report->line, "done for 8200");
    assert_int_equal(report->problem_count, 1);
}

static void test_failure_comes_first(void **state)
{
    (void)state;
    const struct report *report = outcome_of(react_with_failure);
    assert_int_equal(report->outcome, REPORT_FAILED);
    assert_string_equal(report->problems[0], "the reason");
    assert_string_equal(report->problems[1], "a warning");
}

static void test_block(void **state)
{
    (void)state;
    assert_int_equal(outcome_of(react_with_block)->outcome, REPORT_BLOCKED);
}

static void test_hang_ends_at_the_deadline(void **state)
{
    (void)state;
    int64_t began_us = clock_steady_us();
    const struct report *report = outcome_of(hang);
    assert_int_equal(report->outcome, REPORT_FAILED);
    assert_non_null(strstr(report->problems[0], "deadline of 300 ms"));
    assert_in_range(clock_steady_us() - began_us, 290000, 5000000);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_death_is_explained(void **state)
{
    (void)state;
    assert_non_null(strstr(outcome_of(crash)->problems[0], "signal 9"));
    assert_non_null(strstr(outcome_of(run_out_of_memory)->problems[0], "out of memory"));
    assert_non_null(strstr(outcome_of(leave)->problems[0], "without a result (status 3)"));
}

static void test_problems_beyond_the_last_are_dropped(void **state)
{
    (void)state;
    struct report report = {0};
    const struct error error = {ERROR_BUSY, "the cause"};
    for (int i = 0; i < REPORT_PROBLEMS_MAX + 3; i++)
        report_problem(&report, "problem %d", i);
    assert_int_equal(report.problem_count, REPORT_PROBLEMS_MAX);
    report_failure(&report, &error);
    assert_int_equal(report.problem_count, REPORT_PROBLEMS_MAX);
    assert_string_equal(report.problems[0], "the cause");
    assert_string_equal(report.problems[1], "problem 0");
}

static void test_phase_table(void **state)
{
    (void)state;
    assert_true(phase_find("pre-start")->can_block);
    assert_false(phase_find("pre-stop")->can_block);
    assert_false(phase_find("post-stop")->says_problems);
    assert_null(phase_find("pre-restart"));
    assert_null(phase_find(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_success),
        cmocka_unit_test(test_failure_comes_first),
        cmocka_unit_test(test_block),
        cmocka_unit_test(test_hang_ends_at_the_deadline),
        cmocka_unit_test(test_death_is_explained),
        cmocka_unit_test(test_problems_beyond_the_last_are_dropped),
        cmocka_unit_test(test_phase_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
