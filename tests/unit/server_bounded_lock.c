/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/limiter.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "schema/base/units.h"
#include "store/base/clock.h"
#include "tests/unit/test.h"

#define LONG_US     (3600 * SECOND_US)
#define WAITING_MAX 8
#define MESSAGE     "too many requests wait for the same answer"

static struct bounded_lock lock;
static struct error error;

static int set_up(void **state)
{
    (void)state;
    bounded_lock_init(&lock);
    error = (struct error){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_false(lock.taken);
    assert_int_equal(lock.waiting, 0);
    bounded_lock_destroy(&lock);
    return 0;
}

static int enter_within(int64_t patience_us)
{
    return bounded_lock_acquire(&lock, clock_steady_us() + patience_us, &error);
}

static void assert_busy(int result)
{
    assert_int_equal(result, -1);
    assert_int_equal(error.kind, ERROR_BUSY);
    assert_string_equal(error.message, MESSAGE);
}

/* A waiter in its own thread. */
struct guest {
    pthread_t thread;
    int64_t patience_us;
    int result;
};

static atomic_int inside;
static atomic_int inside_max;

static void stay_inside(void)
{
    const struct timespec moment = {0, 1000000};
    int now = atomic_fetch_add(&inside, 1) + 1;
    int most = atomic_load(&inside_max);
    while (now > most && !atomic_compare_exchange_weak(&inside_max, &most, now))
        ;
    (void)nanosleep(&moment, NULL);
    atomic_fetch_sub(&inside, 1);
}

static void *visit(void *context)
{
    struct guest *guest = context;
    struct error refused;
    guest->result = bounded_lock_acquire(&lock, clock_steady_us() + guest->patience_us, &refused);
    if (guest->result < 0)
        return NULL;
    stay_inside();
    bounded_lock_release(&lock);
    return NULL;
}

static void send_in(struct guest *guests, size_t count, int64_t patience_us)
{
    for (size_t i = 0; i < count; i++) {
        guests[i].patience_us = patience_us;
        assert_int_equal(pthread_create(&guests[i].thread, NULL, visit, &guests[i]), 0);
    }
}

static void assert_all(struct guest *guests, size_t count, int result)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pthread_join(guests[i].thread, NULL), 0);
        assert_int_equal(guests[i].result, result);
    }
}

static void await_waiting(uint32_t count)
{
    const struct timespec moment = {0, 1000000};
    for (uint32_t waiting = 0; waiting != count; (void)nanosleep(&moment, NULL)) {
        (void)pthread_mutex_lock(&lock.lock);
        waiting = lock.waiting;
        (void)pthread_mutex_unlock(&lock.lock);
    }
}

static void test_one_after_another(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(enter_within(LONG_US), 0);
        bounded_lock_release(&lock);
    }
}

/* A free lock is taken at once, so deadlines do not matter. */
static void test_free_after_the_deadline(void **state)
{
    (void)state;
    assert_int_equal(enter_within(-SECOND_US), 0);
    bounded_lock_release(&lock);
}

static void test_taken_until_the_deadline(void **state)
{
    (void)state;
    assert_int_equal(enter_within(0), 0);
    int64_t begin_us = clock_steady_us();
    assert_busy(enter_within(50000));
    assert_true(clock_steady_us() - begin_us >= INT64_C(50000));
    assert_busy(enter_within(0));
    assert_busy(enter_within(-SECOND_US));
    bounded_lock_release(&lock);
    assert_int_equal(enter_within(0), 0);
    bounded_lock_release(&lock);
}

static void test_deadlines_that_are_no_times(void **state)
{
    (void)state;
    assert_int_equal(enter_within(0), 0);
    assert_busy(bounded_lock_acquire(&lock, 0, &error));
    assert_busy(bounded_lock_acquire(&lock, -1, &error));
    assert_busy(bounded_lock_acquire(&lock, INT64_MIN, &error));
    bounded_lock_release(&lock);
}

static void test_one_who_waits_comes_in(void **state)
{
    (void)state;
    struct guest guest = {0};
    assert_int_equal(enter_within(0), 0);
    send_in(&guest, 1, LONG_US);
    await_waiting(1);
    bounded_lock_release(&lock);
    assert_all(&guest, 1, 0);
}

static void test_only_a_few_wait(void **state)
{
    (void)state;
    struct guest guests[WAITING_MAX] = {{0}};
    assert_int_equal(enter_within(0), 0);
    send_in(guests, WAITING_MAX, LONG_US);
    await_waiting(WAITING_MAX);
    int64_t begin_us = clock_steady_us();
    assert_busy(enter_within(LONG_US));
    assert_true(clock_steady_us() - begin_us < LONG_US / 2);
    bounded_lock_release(&lock);
    assert_all(guests, WAITING_MAX, 0);
}

/* Waiters that gave up release their places. */
static void test_places_are_given_back(void **state)
{
    (void)state;
    struct guest guests[WAITING_MAX] = {{0}};
    assert_int_equal(enter_within(0), 0);
    send_in(guests, WAITING_MAX, 20000);
    assert_all(guests, WAITING_MAX, -1);
    send_in(guests, WAITING_MAX, LONG_US);
    await_waiting(WAITING_MAX);
    bounded_lock_release(&lock);
    assert_all(guests, WAITING_MAX, 0);
}

static void test_never_two_at_once(void **state)
{
    (void)state;
    struct guest guests[WAITING_MAX + 1] = {{0}};
    for (int i = 0; i < 20; i++) {
        send_in(guests, WAITING_MAX + 1, LONG_US);
        assert_all(guests, WAITING_MAX + 1, 0);
    }
    assert_int_equal(atomic_load(&inside_max), 1);
}

#define TURNSTILE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TURNSTILE_TEST(test_one_after_another),
        TURNSTILE_TEST(test_free_after_the_deadline),
        TURNSTILE_TEST(test_taken_until_the_deadline),
        TURNSTILE_TEST(test_deadlines_that_are_no_times),
        TURNSTILE_TEST(test_one_who_waits_comes_in),
        TURNSTILE_TEST(test_only_a_few_wait),
        TURNSTILE_TEST(test_places_are_given_back),
        TURNSTILE_TEST(test_never_two_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
