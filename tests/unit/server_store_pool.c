/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/store_pool.h"

#include <pthread.h>
#include <unistd.h>

#include "store/host/host.h"
#include "tests/unit/scratch.h"

#define MORE_THAN_ALL 17

static struct store_pool *pool;

/* Runs a shell command in the state directory, which changes what the pool sees. */
static void run(const char *command)
{
    shell("%s", command);
    (void)usleep(STORE_POOL_LOOK_US);
}

static int set_up(void **state)
{
    struct error error;
    return scratch_make(state) || store_pool_new(scratch, &pool, &error);
}

static int tear_down(void **state)
{
    store_pool_free(pool);
    return scratch_remove(state);
}

/* Borrows until no store is left; returns how many there were. */
static size_t borrow_all(struct store_loan loans[static MORE_THAN_ALL], struct error *error)
{
    size_t count = 0;
    while (count < MORE_THAN_ALL && store_borrow(pool, &loans[count], error) == 0)
        count++;
    return count;
}

static void test_the_number_of_stores_is_bounded(void **state)
{
    (void)state;
    struct error error = {0};
    struct store_loan loans[MORE_THAN_ALL] = {0};
    size_t count = borrow_all(loans, &error);
    assert_int_equal(count, MORE_THAN_ALL - 1);
    assert_int_equal(error.kind, ERROR_BUSY);
    assert_ptr_not_equal(loans[0].store, loans[1].store);
    for (size_t i = 0; i < MORE_THAN_ALL; i++)
        store_return(&loans[i]);
    assert_int_equal(borrow_all(loans, &error), count);
    for (size_t i = 0; i < MORE_THAN_ALL; i++)
        store_return(&loans[i]);
}

static void *return_soon(void *loan)
{
    (void)usleep(20000); /* of the second that a borrower waits */
    store_return(loan);
    return NULL;
}

static void test_a_borrower_waits_for_one_to_come_back(void **state)
{
    (void)state;
    pthread_t thread;
    struct error error;
    struct store_loan loans[MORE_THAN_ALL] = {0};
    struct store_loan late = {0};
    size_t count = borrow_all(loans, &error);
    const struct store *returned = loans[0].store;
    assert_int_equal(pthread_create(&thread, NULL, return_soon, &loans[0]), 0);
    assert_int_equal(store_borrow(pool, &late, &error), 0);
    assert_ptr_equal(late.store, returned);
    assert_int_equal(pthread_join(thread, NULL), 0);
    store_return(&late);
    for (size_t i = 1; i < count; i++)
        store_return(&loans[i]);
}

static void test_one_has_the_pen_and_stores_are_left_for_the_others(void **state)
{
    (void)state;
    struct error error = {0};
    struct store_loan writing = {0};
    struct store_loan reading = {0};
    struct store_loan second = {0};
    assert_int_equal(store_borrow_writer(pool, &writing, &error), 0);
    assert_int_equal(store_borrow_writer(pool, &second, &error), -1);
    assert_int_equal(error.kind, ERROR_BUSY);
    assert_int_equal(store_borrow(pool, &reading, &error), 0);
    store_return(&writing);
    assert_int_equal(store_borrow_writer(pool, &second, &error), 0);
    store_return(&second);
    store_return(&reading);
}

static void test_the_pen_is_given_back_where_no_store_is_left(void **state)
{
    (void)state;
    struct error error;
    struct store_loan loans[MORE_THAN_ALL] = {0};
    struct store_loan writing = {0};
    size_t count = borrow_all(loans, &error);
    assert_int_equal(store_borrow_writer(pool, &writing, &error), -1);
    store_return(&loans[0]);
    assert_int_equal(store_borrow_writer(pool, &writing, &error), 0);
    store_return(&writing);
    for (size_t i = 1; i < count; i++)
        store_return(&loans[i]);
}

static void test_only_a_spoilt_store_is_given_up(void **state)
{
    (void)state;
    const struct error busy = {.kind = ERROR_BUSY};
    const struct error corrupt = {.kind = ERROR_CORRUPT};
    struct error error;
    struct host host;
    struct store_loan loan = {0};
    assert_int_equal(store_borrow(pool, &loan, &error), 0);
    store_loan_failed(&loan, &busy);
    assert_non_null(loan.store);
    store_loan_failed(&loan, &corrupt);
    assert_null(loan.store);
    store_return(&loan);
    assert_int_equal(store_borrow(pool, &loan, &error), 0);
    assert_int_equal(host_get(loan.store, &host, &error), -1);
    assert_int_equal(error.kind, ERROR_MISSING);
    store_return(&loan);
}

static void test_a_store_that_cannot_be_opened_costs_no_place(void **state)
{
    (void)state;
    const struct error corrupt = {.kind = ERROR_CORRUPT};
    struct error error = {0};
    struct store_loan loan = {0};
    assert_int_equal(store_borrow(pool, &loan, &error), 0);
    store_loan_failed(&loan, &corrupt);
    store_return(&loan);
    run("rm -r db");
    for (int i = 0; i < 20; i++) {
        assert_int_equal(store_borrow(pool, &loan, &error), -1);
        assert_int_equal(error.kind, ERROR_MISSING);
        store_loan_failed(&loan, &error);
        store_return(&loan);
    }
}

static void test_another_file_in_its_place_is_heeded(void **state)
{
    (void)state;
    struct error error;
    struct host host = {.node = "old"};
    struct store_loan early = {0};
    struct store_loan loan = {0};
    assert_int_equal(store_borrow(pool, &early, &error), 0);
    assert_int_equal(host_put(early.store, &host, &error), 0);
    run("mv db aside && mkdir -m 700 db && install -m 600 /dev/null db/agent.db");
    assert_int_equal(store_borrow(pool, &loan, &error), 0);
    assert_int_equal(host_get(loan.store, &host, &error), -1);
    store_return(&loan);
    store_return(&early);
    assert_int_equal(store_borrow(pool, &loan, &error), 0);
    assert_int_equal(host_get(loan.store, &host, &error), -1);
    store_return(&loan);
    run("mv db new && mv aside db");
    assert_int_equal(store_borrow(pool, &loan, &error), 0);
    assert_int_equal(host_get(loan.store, &host, &error), 0);
    assert_string_equal(host.node, "old");
    store_return(&loan);
}

/* The next process makes the log's index again, and the pool sees what that process writes. */
static void test_a_log_index_that_is_gone_is_heeded(void **state)
{
    (void)state;
    struct error error;
    struct host host = {.node = "old"};
    struct store_loan loan = {0};
    assert_int_equal(store_borrow(pool, &loan, &error), 0);
    assert_int_equal(host_put(loan.store, &host, &error), 0);
    store_return(&loan);
    run("rm db/agent.db-shm && sqlite3 db/agent.db \"UPDATE host SET node = 'new'\"");
    assert_int_equal(store_borrow(pool, &loan, &error), 0);
    assert_int_equal(host_get(loan.store, &host, &error), 0);
    assert_string_equal(host.node, "new");
    store_return(&loan);
}

/* Waits until the next check reads the store again. */
static void check_anew(void)
{
    (void)usleep(STORE_POOL_CHECK_US);
}

static void test_a_check_says_whether_the_store_can_be_read(void **state)
{
    (void)state;
    struct error error;
    struct store_loan loans[MORE_THAN_ALL] = {0};
    assert_int_equal(store_pool_check(pool, &error), 0);
    run("mv db other");
    check_anew();
    assert_int_equal(store_pool_check(pool, &error), -1);
    assert_int_equal(error.kind, ERROR_MISSING);
    run("mv other db");
    check_anew();
    assert_int_equal(store_pool_check(pool, &error), 0);
    check_anew();
    (void)borrow_all(loans, &error);
    assert_int_equal(store_pool_check(pool, &error), -1);
    assert_int_equal(error.kind, ERROR_BUSY);
    for (size_t i = 0; i < MORE_THAN_ALL; i++)
        store_return(&loans[i]);
}

static void test_nothing_borrowed_is_nothing_to_return(void **state)
{
    (void)state;
    struct store_loan loan = {0};
    const struct error corrupt = {.kind = ERROR_CORRUPT};
    store_loan_failed(&loan, &corrupt);
    store_return(&loan);
    store_return(&loan);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_number_of_stores_is_bounded),
        TEST(test_a_borrower_waits_for_one_to_come_back),
        TEST(test_one_has_the_pen_and_stores_are_left_for_the_others),
        TEST(test_the_pen_is_given_back_where_no_store_is_left),
        TEST(test_only_a_spoilt_store_is_given_up),
        TEST(test_a_store_that_cannot_be_opened_costs_no_place),
        TEST(test_another_file_in_its_place_is_heeded),
        TEST(test_a_log_index_that_is_gone_is_heeded),
        TEST(test_a_check_says_whether_the_store_can_be_read),
        TEST(test_nothing_borrowed_is_nothing_to_return),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
