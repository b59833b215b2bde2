/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/worker.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "schema/base/units.h"
#include "store/base/clock.h"
#include "tests/unit/test.h"

#define MOMENT_US 100000 /* long enough for what must not happen */
#define PATIENCE  600    /* seconds for what must */

/* The worker posts began at each step and then waits until the test posts go. */
static struct {
    sem_t began, go;
    _Atomic int64_t wait_us; /* what the step returns */
    atomic_int steps;
    atomic_bool saw_stopping;
    struct worker *worker;
    char name[16];
} rig;

static int set_up(void **state)
{
    (void)state;
    (void)sem_init(&rig.began, 0, 0);
    (void)sem_init(&rig.go, 0, 0);
    atomic_store(&rig.wait_us, WORKER_IDLE);
    atomic_store(&rig.steps, 0);
    atomic_store(&rig.saw_stopping, false);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    worker_stop(rig.worker);
    rig.worker = NULL;
    (void)sem_destroy(&rig.began);
    (void)sem_destroy(&rig.go);
    return 0;
}

static int64_t quick_step(void *context)
{
    assert_ptr_equal(context, &rig);
    atomic_fetch_add(&rig.steps, 1);
    (void)sem_post(&rig.began);
    return atomic_load(&rig.wait_us);
}

static int64_t slow_step(void *context)
{
    int64_t wait_us = quick_step(context);
    (void)sem_wait(&rig.go);
    return wait_us;
}

static void await(sem_t *semaphore)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += PATIENCE;
    assert_int_equal(sem_timedwait(semaphore, &end), 0);
}

static void assert_no_step(void)
{
    const struct timespec moment = {0, MOMENT_US * 1000L};
    (void)nanosleep(&moment, NULL);
    assert_int_equal(sem_trywait(&rig.began), -1);
}

static void test_first_step_comes_at_once_then_none(void **state)
{
    (void)state;
    rig.worker = worker_start("test", quick_step, &rig);
    await(&rig.began);
    assert_no_step();
}

static void test_steps_come_again_in_time(void **state)
{
    (void)state;
    int64_t begin_us = clock_steady_us();
    atomic_store(&rig.wait_us, 20000);
    rig.worker = worker_start("test", quick_step, &rig);
    for (int i = 0; i < 4; i++)
        await(&rig.began);
    assert_true(clock_steady_us() - begin_us >= INT64_C(60000));
}

static void test_step_does_not_come_early(void **state)
{
    (void)state;
    atomic_store(&rig.wait_us, 3600 * SECOND_US);
    rig.worker = worker_start("test", quick_step, &rig);
    await(&rig.began);
    assert_no_step();
}

static void test_a_time_that_has_passed_is_now(void **state)
{
    (void)state;
    atomic_store(&rig.wait_us, INT64_MIN);
    rig.worker = worker_start("test", quick_step, &rig);
    await(&rig.began);
    await(&rig.began);
    atomic_store(&rig.wait_us, 0);
    await(&rig.began);
    await(&rig.began);
}

static void test_a_time_that_never_comes(void **state)
{
    (void)state;
    atomic_store(&rig.wait_us, INT64_MAX - 1);
    rig.worker = worker_start("test", quick_step, &rig);
    await(&rig.began);
    assert_no_step();
}

static void test_wake_from_idleness(void **state)
{
    (void)state;
    rig.worker = worker_start("test", quick_step, &rig);
    await(&rig.began);
    for (int i = 0; i < 3; i++) {
        worker_wake(rig.worker);
        await(&rig.began);
    }
    assert_no_step();
}

static void test_wake_before_the_time(void **state)
{
    (void)state;
    atomic_store(&rig.wait_us, 3600 * SECOND_US);
    rig.worker = worker_start("test", quick_step, &rig);
    await(&rig.began);
    worker_wake(rig.worker);
    await(&rig.began);
}

/* Several wakeups count as one. */
static void test_wakes_during_a_step(void **state)
{
    (void)state;
    rig.worker = worker_start("test", slow_step, &rig);
    await(&rig.began);
    worker_wake(rig.worker);
    worker_wake(rig.worker);
    worker_wake(rig.worker);
    assert_no_step();
    (void)sem_post(&rig.go);
    await(&rig.began);
    (void)sem_post(&rig.go);
    assert_no_step();
}

static void *wake_often(void *worker)
{
    for (int i = 0; i < 1000; i++)
        worker_wake(worker);
    return NULL;
}

/* The step after the last wakeup sees what was done before it. */
static void test_wakes_from_many_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    rig.worker = worker_start("test", quick_step, &rig);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wake_often, rig.worker), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    await(&rig.began);
    await(&rig.began);
    worker_stop(rig.worker);
    rig.worker = NULL;
    assert_in_range(atomic_load(&rig.steps), 2, 4001);
}

static void *let_go_soon(void *context)
{
    (void)context;
    const struct timespec moment = {0, MOMENT_US * 1000L};
    (void)nanosleep(&moment, NULL);
    atomic_store(&rig.saw_stopping, true);
    (void)sem_post(&rig.go);
    return NULL;
}

/* A stop waits for the step in progress and starts no further one. */
static void test_stop_waits_for_the_step(void **state)
{
    (void)state;
    pthread_t thread;
    atomic_store(&rig.wait_us, 0);
    rig.worker = worker_start("test", slow_step, &rig);
    await(&rig.began);
    assert_int_equal(pthread_create(&thread, NULL, let_go_soon, NULL), 0);
    worker_stop(rig.worker);
    rig.worker = NULL;
    assert_true(atomic_load(&rig.saw_stopping));
    assert_int_equal(atomic_load(&rig.steps), 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_stop_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        worker_stop(worker_start("test", quick_step, &rig));
    worker_stop(NULL);
}

static int64_t step_with_name(void *context)
{
    (void)context;
    (void)sem_wait(&rig.go);
    (void)pthread_getname_np(pthread_self(), rig.name, sizeof rig.name);
    (void)sem_post(&rig.began);
    return WORKER_IDLE;
}

static void test_thread_has_its_name(void **state)
{
    (void)state;
    rig.worker = worker_start("fifteen-letters", step_with_name, NULL);
    (void)sem_post(&rig.go);
    await(&rig.began);
    assert_string_equal(rig.name, "fifteen-letters");
}

#define WORKER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORKER_TEST(test_first_step_comes_at_once_then_none),
        WORKER_TEST(test_steps_come_again_in_time),
        WORKER_TEST(test_step_does_not_come_early),
        WORKER_TEST(test_a_time_that_has_passed_is_now),
        WORKER_TEST(test_a_time_that_never_comes),
        WORKER_TEST(test_wake_from_idleness),
        WORKER_TEST(test_wake_before_the_time),
        WORKER_TEST(test_wakes_during_a_step),
        WORKER_TEST(test_wakes_from_many_threads),
        WORKER_TEST(test_stop_waits_for_the_step),
        WORKER_TEST(test_stop_at_once),
        WORKER_TEST(test_thread_has_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
