/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever happens in a phase, its supervisor returns in time with a message and adds an event. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hooks/supervisor.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/clock.h"
#include "tests/unit/test.h"

#include "tests/unit/store_fixture.h"

static int react_well(struct reaction *reaction, struct error *cause)
{
    (void)cause;
    report_line(reaction->report, "done for %u", reaction->vmid);
    report_problem(reaction->report, "a warning");
    return 0;
}

static int react_with_failure(struct reaction *reaction, struct error *cause)
{
    report_problem(reaction->report, "a warning");
    return fail(cause, ERROR_INVALID, "the reason");
}

static int react_with_block(struct reaction *reaction, struct error *cause)
{
    (void)reaction;
    return fail(cause, ERROR_FOREIGN, "somebody else's");
}

static int find_the_store_locked(struct reaction *reaction, struct error *cause)
{
    (void)reaction;
    return fail(cause, ERROR_BUSY, "locked");
}

/* An open transaction and its lock. */
static int half_do_it(struct reaction *reaction, struct error *cause)
{
    if (reaction_open_store(reaction, cause) < 0 || store_begin(reaction->store, cause) < 0 ||
        reaction_event(reaction, "mint", "ok", "", cause) < 0)
        return -1;
    return fail(cause, ERROR_SYSTEM, "no space");
}

static int hang(struct reaction *reaction, struct error *cause)
{
    (void)reaction;
    (void)cause;
    for (;;)
        (void)pause();
    return 0;
}

static int crash(struct reaction *reaction, struct error *cause)
{
    (void)reaction;
    (void)cause;
    (void)signal(SIGABRT, SIG_DFL);
    (void)raise(SIGKILL);
    return 0;
}

static int run_out_of_memory(struct reaction *reaction, struct error *cause)
{
    (void)reaction;
    (void)cause;
    mem_exhausted();
}

static int leave(struct reaction *reaction, struct error *cause)
{
    (void)reaction;
    (void)cause;
    _exit(3);
}

/* Only a phase that hangs reaches its deadline. */
static struct report *outcome_of(int (*react)(struct reaction *, struct error *))
{
    const struct phase phase = {.name = "pre-start", .react = react};
    cleanup_free char *state = mem_copy_text(in_scratch("state"));
    cleanup_free char *run = mem_copy_text(in_scratch("run"));
    const struct config config = {.hook.deadline_ms = react == hang ? 300 : 3600000,
                                  .paths = {.state = state, .run = run}};
    struct reaction reaction = {
        .config = &config,
        .vmid = 8200,
        .phase = phase.name,
        .started_us = clock_steady_us(),
        .report = report_new(),
    };
    assert_non_null(reaction.report);
    supervisor_run(&phase, &reaction);
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
    assert_true(clock_steady_us() - began_us >= 290000);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_death_is_explained(void **state)
{
    (void)state;
    assert_non_null(strstr(outcome_of(crash)->problems[0], "signal 9"));
    assert_non_null(strstr(outcome_of(run_out_of_memory)->problems[0], "out of memory"));
    assert_non_null(strstr(outcome_of(leave)->problems[0], "without a result (status 3)"));
}

static void assert_recorded(int (*react)(struct reaction *, struct error *), const char *detail)
{
    run_raw("DELETE FROM event");
    assert_int_not_equal(outcome_of(react)->outcome, REPORT_DONE);
    assert_raw("SELECT group_concat(vmid || kind || outcome) FROM event", "8200pre-starterror");
    assert_raw("SELECT detail FROM event", detail);
    assert_raw("SELECT duration_us > 0 FROM event", "1");
}

static void test_each_failure_leaves_an_event(void **state)
{
    (void)state;
    store_close(store_of_scratch());
    assert_recorded(react_with_failure, "the reason");
    assert_recorded(react_with_block, "somebody else's");
    assert_recorded(half_do_it, "no space");
    assert_recorded(crash, "the reaction was ended by signal 9 (Killed)");
    assert_recorded(run_out_of_memory, "out of memory");
    assert_recorded(leave, "the reaction ended without a result (status 3)");
    assert_recorded(hang, "no result within the deadline of 300 ms; rolled back");
}

static void test_what_cannot_be_recorded_is_told_all_the_same(void **state)
{
    (void)state;
    shell("touch state/db");
    assert_string_equal(outcome_of(react_with_failure)->problems[0], "the reason");
    assert_string_equal(outcome_of(leave)->problems[0],
                        "the reaction ended without a result (status 3)");
}

static void test_a_locked_store_is_not_waited_for_again(void **state)
{
    (void)state;
    assert_string_equal(outcome_of(find_the_store_locked)->problems[0], "locked");
    assert_false(is_there("state/db"));
}

static void test_problems_beyond_the_last_are_dropped(void **state)
{
    (void)state;
    struct report report = {0};
    const struct error cause = {ERROR_BUSY, "the cause"};
    for (int i = 0; i < REPORT_PROBLEMS_MAX + 3; i++)
        report_problem(&report, "problem %d", i);
    assert_int_equal(report.problem_count, REPORT_PROBLEMS_MAX);
    report_failure(&report, &cause);
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
        store_test(test_success),
        store_test(test_failure_comes_first),
        store_test(test_block),
        store_test(test_hang_ends_at_the_deadline),
        store_test(test_death_is_explained),
        store_test(test_each_failure_leaves_an_event),
        store_test(test_what_cannot_be_recorded_is_told_all_the_same),
        store_test(test_a_locked_store_is_not_waited_for_again),
        cmocka_unit_test(test_problems_beyond_the_last_are_dropped),
        cmocka_unit_test(test_phase_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
