/* SPDX-License-Identifier: Apache-2.0 */
/* What the store records about restore tests. */
#include "tests/unit/test.h"

#include <string.h>

#include "store/tables/job.h"

#include "tests/unit/store_fixture.h"

static struct restore_test begin(struct store *store, uint32_t vmid, uint32_t spare_vmid)
{
    struct restore_test test = {.vmid = vmid, .spare_vmid = spare_vmid, .started_at_ms = 5000};
    (void)snprintf(test.archive, sizeof test.archive, "local:backup/vzdump-lxc-%u.tar.zst", vmid);
    OK(restore_test_begin(store, &test, &error));
    return test;
}

static struct restore_test get(struct store *store, uint32_t vmid)
{
    struct restore_test test;
    memset(&test, 0xEE, sizeof test);
    OK(restore_test_get(store, vmid, &test, &error));
    return test;
}

static void test_none(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    assert_int_equal(get(store, 8200).vmid, 0);
    assert_int_equal(get(store, 8299).vmid, 0);
    FAILS(restore_test_finish(store, 8200, NULL, 9000, &error), ERROR_MISSING,
          "the store knows no restore test of guest 8200");
    FAILS(restore_test_forget_spare(store, 8200, &error), ERROR_MISSING,
          "the store knows no restore test of guest 8200");
    assert_raw("SELECT count(*) FROM event", "0");
}

static void test_unknown_guest(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    const struct restore_test test = {.vmid = 8200, .spare_vmid = 9000};
    FAILS(restore_test_begin(store, &test, &error), ERROR_MISSING, "the store knows no such guest");
}

static void test_running(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    (void)begin(store, 8200, 9000);
    struct restore_test test = get(store, 8200);
    assert_int_equal(test.vmid, 8200);
    assert_int_equal(test.spare_vmid, 9000);
    assert_string_equal(test.archive, "local:backup/vzdump-lxc-8200.tar.zst");
    assert_false(test.passed);
    assert_string_equal(test.error, "");
    assert_int_equal(test.started_at_ms, 5000);
    assert_int_equal(test.finished_at_ms, 0);
    assert_raw("SELECT finished_at_ms IS NULL FROM restore_test", "1");
}

static void test_passed(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    (void)begin(store, 8200, 9000);
    OK(restore_test_finish(store, 8200, NULL, 9000, &error));
    struct restore_test test = get(store, 8200);
    assert_true(test.passed);
    assert_string_equal(test.error, "");
    assert_int_equal(test.finished_at_ms, 9000);
    assert_raw("SELECT at_ms || ' ' || vmid || ' ' || kind || ' ' || outcome || ' ' || detail"
               " || ' ' || duration_us FROM event",
               "9000 8200 restore-test ok local:backup/vzdump-lxc-8200.tar.zst was restored, and "
               "the copy ran 4000000");
}

static void test_failed(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    (void)begin(store, 8200, 9000);
    OK(restore_test_finish(store, 8200, "it's \"bad\"", 4000, &error));
    struct restore_test test = get(store, 8200);
    assert_false(test.passed);
    assert_string_equal(test.error, "it's \"bad\"");
    assert_raw("SELECT outcome || ' ' || detail || ' ' || duration_us FROM event",
               "error local:backup/vzdump-lxc-8200.tar.zst: it's \"bad\" -1");
}

/* A long message is cut when it is read. */
static void test_long_error(void **state)
{
    (void)state;
    char problem[1000];
    cleanup_store struct store *store = store_of_scratch();
    memset(problem, 'x', sizeof problem - 1);
    problem[sizeof problem - 1] = '\0';
    put_guest(store, 8200);
    (void)begin(store, 8200, 9000);
    OK(restore_test_finish(store, 8200, problem, 9000, &error));
    assert_int_equal(strlen(get(store, 8200).error), sizeof((struct restore_test *)0)->error - 1);
}

static void test_again(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    (void)begin(store, 8200, 9000);
    OK(restore_test_finish(store, 8200, "bad", 9000, &error));
    (void)begin(store, 8200, 9001);
    struct restore_test test = get(store, 8200);
    assert_int_equal(test.spare_vmid, 9001);
    assert_string_equal(test.error, "");
    assert_int_equal(test.finished_at_ms, 0);
    assert_raw("SELECT count(*) FROM restore_test", "1");
}

static void test_forget_spare(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    put_guest(store, 8300);
    (void)begin(store, 8200, 9000);
    (void)begin(store, 8300, 9001);
    OK(restore_test_forget_spare(store, 8200, &error));
    assert_int_equal(get(store, 8200).spare_vmid, 0);
    assert_int_equal(get(store, 8200).started_at_ms, 5000);
    assert_int_equal(get(store, 8300).spare_vmid, 9001);
}

static int collect(const struct restore_test *test, void *context)
{
    char *list = context;
    (void)snprintf(list + strlen(list), 16, "%u ", test->vmid);
    return test->vmid == 8300 ? 7 : 0;
}

static void test_each(void **state)
{
    (void)state;
    char list[64] = "";
    cleanup_store struct store *store = store_of_scratch();
    OK(restore_test_each(store, collect, list, &error));
    assert_string_equal(list, "");
    put_guest(store, 8400);
    put_guest(store, 8200);
    (void)begin(store, 8400, 9001);
    (void)begin(store, 8200, 9000);
    OK(restore_test_each(store, collect, list, &error));
    assert_string_equal(list, "8200 8400 ");
    put_guest(store, 8300);
    (void)begin(store, 8300, 9002);
    list[0] = '\0';
    assert_int_equal(restore_test_each(store, collect, list, &error), 7);
    assert_string_equal(list, "8200 8300 ");
}

static void test_gone_with_guest(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    (void)begin(store, 8200, 9000);
    OK(guest_remove(store, 8200, &error));
    assert_int_equal(get(store, 8200).vmid, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(test_none),    store_test(test_unknown_guest),
        store_test(test_running), store_test(test_passed),
        store_test(test_failed),  store_test(test_long_error),
        store_test(test_again),   store_test(test_forget_spare),
        store_test(test_each),    store_test(test_gone_with_guest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
