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
#define THREADS     64 /* so eight guests may wait, and eight further threads of theirs */
#define WAITING_MAX 8
#define MESSAGE     "too many requests wait for the same answer"

static struct fair_lock lock;
static struct error error;

/* Who held the lock one after the other; whoever holds it writes. */
static uint32_t order[1000];
static size_t order_count;

static int set_up(void **state)
{
    (void)state;
    fair_lock_init(&lock);
    error = (struct error){0};
    order_count = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_false(lock.taken);
    assert_int_equal(fair_lock_waiting(&lock), 0);
    fair_lock_destroy(&lock);
    return 0;
}

static int enter_within(int64_t patience_us)
{
    return fair_lock_acquire(&lock, 100, THREADS, clock_steady_us() + patience_us, &error);
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
    uint32_t vmid;
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
    guest->result = fair_lock_acquire(&lock, guest->vmid, THREADS,
                                      clock_steady_us() + guest->patience_us, &refused);
    if (guest->result < 0)
        return NULL;
    order[order_count++] = guest->vmid;
    stay_inside();
    fair_lock_release(&lock);
    return NULL;
}

static void send_in(struct guest *guests, size_t count, int64_t patience_us)
{
    for (size_t i = 0; i < count; i++) {
        guests[i].vmid = guests[i].vmid ? guests[i].vmid : 101 + (uint32_t)i;
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
    while (fair_lock_waiting(&lock) != count)
        (void)nanosleep(&moment, NULL);
}

static void test_one_after_another(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(enter_within(LONG_US), 0);
        fair_lock_release(&lock);
    }
}

/* A free lock is taken at once, so deadlines do not matter. */
static void test_free_after_the_deadline(void **state)
{
    (void)state;
    assert_int_equal(enter_within(-SECOND_US), 0);
    fair_lock_release(&lock);
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
    fair_lock_release(&lock);
    assert_int_equal(enter_within(0), 0);
    fair_lock_release(&lock);
}

static void test_deadlines_that_are_no_times(void **state)
{
    (void)state;
    assert_int_equal(enter_within(0), 0);
    assert_busy(fair_lock_acquire(&lock, 100, THREADS, 0, &error));
    assert_busy(fair_lock_acquire(&lock, 100, THREADS, -1, &error));
    assert_busy(fair_lock_acquire(&lock, 100, THREADS, INT64_MIN, &error));
    fair_lock_release(&lock);
}

static void test_one_who_waits_comes_in(void **state)
{
    (void)state;
    struct guest guest = {0};
    assert_int_equal(enter_within(0), 0);
    send_in(&guest, 1, LONG_US);
    await_waiting(1);
    fair_lock_release(&lock);
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
    fair_lock_release(&lock);
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
    fair_lock_release(&lock);
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

/* One thread of each of these guests comes to wait, in this order; then the lock is released. */
static void assert_turns(const uint32_t *come, const uint32_t *served, size_t count)
{
    struct guest guests[16] = {{0}};
    assert_int_equal(enter_within(0), 0);
    order_count = 0;
    for (size_t i = 0; i < count; i++) {
        guests[i].vmid = come[i];
        send_in(&guests[i], 1, LONG_US);
        await_waiting((uint32_t)i + 1);
    }
    fair_lock_release(&lock);
    assert_all(guests, count, 0);
    assert_memory_equal(order, served, count * sizeof *order);
}

static void test_guests_take_turns(void **state)
{
    (void)state;
    static const uint32_t come[] = {201, 201, 201, 202, 202, 203};
    static const uint32_t served[] = {201, 202, 203, 201, 202, 201};
    assert_turns(come, served, ARRAY_SIZE(come));
}

/* Whoever has not had a turn for the longest time is next, whatever waits before it. */
static void test_who_asks_seldom_is_next(void **state)
{
    (void)state;
    static const uint32_t before[] = {201, 202, 203};
    static const uint32_t come[] = {201, 201, 202, 203, 201, 204};
    static const uint32_t served[] = {204, 201, 202, 203, 201, 201};
    assert_turns(before, before, ARRAY_SIZE(before));
    assert_turns(come, served, ARRAY_SIZE(come));
}

/* More guests than are remembered: the order is the same for those that are not. */
static void test_many_guests(void **state)
{
    (void)state;
    static const uint32_t come[] = {499, 201, 200};
    static const uint32_t served[] = {201, 200, 499};
    for (uint32_t vmid = 200; vmid < 500; vmid++) {
        assert_int_equal(fair_lock_acquire(&lock, vmid, THREADS, 0, &error), 0);
        fair_lock_release(&lock);
    }
    assert_turns(come, served, ARRAY_SIZE(come));
}

/* A guest's further threads have places of their own, so they cost no other guest its place. */
static void test_one_guest_takes_no_others_places(void **state)
{
    (void)state;
    struct guest same[WAITING_MAX + 1] = {{0}};
    struct guest others[WAITING_MAX - 1] = {{0}};
    assert_int_equal(enter_within(0), 0);
    for (size_t i = 0; i < ARRAY_SIZE(same); i++)
        same[i].vmid = 300;
    send_in(same, ARRAY_SIZE(same), LONG_US);
    await_waiting(ARRAY_SIZE(same));
    assert_busy(fair_lock_acquire(&lock, 300, THREADS, clock_steady_us() + LONG_US, &error));
    send_in(others, ARRAY_SIZE(others), LONG_US);
    await_waiting(ARRAY_SIZE(same) + ARRAY_SIZE(others));
    fair_lock_release(&lock);
    assert_all(same, ARRAY_SIZE(same), 0);
    assert_all(others, ARRAY_SIZE(others), 0);
}

static void test_few_threads(void **state)
{
    (void)state;
    struct guest guest = {.vmid = 301};
    assert_int_equal(enter_within(0), 0);
    send_in(&guest, 1, LONG_US);
    await_waiting(1);
    assert_busy(fair_lock_acquire(&lock, 302, 4, clock_steady_us() + LONG_US, &error));
    fair_lock_release(&lock);
    assert_all(&guest, 1, 0);
}

#define LOCK_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOCK_TEST(test_one_after_another),
        LOCK_TEST(test_free_after_the_deadline),
        LOCK_TEST(test_taken_until_the_deadline),
        LOCK_TEST(test_deadlines_that_are_no_times),
        LOCK_TEST(test_one_who_waits_comes_in),
        LOCK_TEST(test_only_a_few_wait),
        LOCK_TEST(test_places_are_given_back),
        LOCK_TEST(test_never_two_at_once),
        LOCK_TEST(test_guests_take_turns),
        LOCK_TEST(test_who_asks_seldom_is_next),
        LOCK_TEST(test_many_guests),
        LOCK_TEST(test_one_guest_takes_no_others_places),
        LOCK_TEST(test_few_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
