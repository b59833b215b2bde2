/* SPDX-License-Identifier: Apache-2.0 */
/* A changed certificate is noticed once. */
#include "server/events/wakeup.h"
#include "tests/unit/scratch.h"

static struct file_mark mark;

static int make(void **state)
{
    mark = (struct file_mark){0};
    if (scratch_make(state) != 0)
        return -1;
    shell("mkdir tls; echo one >tls/agent.crt");
    return 0;
}

static void test_once(void **state)
{
    (void)state;
    assert_true(identity_mark_moved(&mark, scratch));
    assert_false(identity_mark_moved(&mark, scratch));
    shell("echo two >tls/new; mv tls/new tls/agent.crt");
    assert_true(identity_mark_moved(&mark, scratch));
    assert_false(identity_mark_moved(&mark, scratch));
}

/* Keeps the inode, as an editor or cp does. */
static void test_written_over(void **state)
{
    (void)state;
    assert_true(identity_mark_moved(&mark, scratch));
    shell("touch -d '2001-01-01' tls/agent.crt");
    assert_true(identity_mark_moved(&mark, scratch));
}

static void test_missing(void **state)
{
    (void)state;
    assert_true(identity_mark_moved(&mark, scratch));
    shell("mv tls/agent.crt tls/away");
    assert_int_not_equal(mark.inode, 0);
    assert_false(identity_mark_moved(&mark, scratch));
    assert_int_equal(mark.inode, 0);
    shell("echo two >tls/agent.crt");
    assert_true(identity_mark_moved(&mark, scratch));
}

#define test(function) cmocka_unit_test_setup_teardown(function, make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {test(test_once), test(test_written_over),
                                       test(test_missing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
