/* SPDX-License-Identifier: Apache-2.0 */
/* The hooks' queue: one at a time has its place, and a wait is counted only while nobody gets on.
 */
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "hooks/queue.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/clock.h"
#include "tests/unit/test.h"

#include "tests/unit/scratch.h"

#define SECOND   ((int64_t)1000000)
#define DEADLINE (20 * SECOND)
#define LONGEST  (120 * SECOND)

static struct error error;
static struct config config;

static int set_up(void **state)
{
    if (scratch_make(state) < 0)
        return -1;
    shell("chmod 755 . && mkdir -m 711 run");
    config.hook.deadline_ms = DEADLINE / 1000;
    config.paths.run = mem_copy_text(in_scratch("run"));
    return 0;
}

static int tear_down(void **state)
{
    free(config.paths.run);
    return scratch_remove(state);
}

static bool is_free(void)
{
    cleanup_close int fd = open(in_scratch("run/hooks.lock"), O_RDWR);
    return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* What a holder notes, at any time. */
static void note_progress_at(int64_t at_us)
{
    cleanup_close int fd = open(in_scratch("run/hooks.lock"), O_RDWR | O_CREAT, 0600);
    assert_int_equal(pwrite(fd, &at_us, sizeof at_us, 0), sizeof at_us);
}

static void one_has_its_place(void **state)
{
    (void)state;
    struct queue_wait wait = {0};
    struct queue_place place = {0};
    assert_int_equal(queue_enter(&config, &wait, &place, &error), 0);
    assert_false(queue_is_waiting(&wait));
    assert_false(is_free());
    assert_int_equal(queue_enter(&config, &wait, &place, &error), 0);
    queue_leave(&place);
    assert_true(is_free());
    queue_leave(&place);
}

static void without_a_lock_file_there_is_no_queue(void **state)
{
    (void)state;
    struct queue_wait wait = {0};
    struct queue_place place = {0};
    shell("mkdir run/hooks.lock");
    assert_int_equal(queue_enter(&config, &wait, &place, &error), -1);
    assert_non_null(strstr(error.message, "hooks.lock: Is a directory"));
    assert_int_equal(queue_enter(&config, &wait, &place, &error), 0);
    queue_note_progress(&place);
    queue_leave(&place);
}

static void work_counts_and_waits_that_are_over_do_not(void **state)
{
    (void)state;
    struct queue_wait wait = {0};
    assert_int_equal(queue_time_is_up_us(&config, &wait, SECOND), SECOND + DEADLINE);
    wait.waited_us = 60 * SECOND;
    assert_int_equal(queue_time_is_up_us(&config, &wait, SECOND), SECOND + DEADLINE + 60 * SECOND);
}

static void a_wait_counts_from_the_last_progress_on(void **state)
{
    (void)state;
    int64_t now_us = clock_steady_us();
    int64_t started_us = now_us - 50 * SECOND;
    struct queue_wait wait = {.since_us = started_us + SECOND};
    assert_int_equal(queue_time_is_up_us(&config, &wait, started_us), started_us + DEADLINE);
    note_progress_at(started_us - 5 * SECOND);
    assert_int_equal(queue_time_is_up_us(&config, &wait, started_us), started_us + DEADLINE);
    note_progress_at(started_us + 41 * SECOND);
    assert_int_equal(queue_time_is_up_us(&config, &wait, started_us),
                     started_us + 40 * SECOND + DEADLINE);
}

static void a_holder_notes_its_progress(void **state)
{
    (void)state;
    struct queue_wait wait = {0};
    struct queue_place place = {0};
    assert_int_equal(queue_enter(&config, &wait, &place, &error), 0);
    queue_leave(&place);
    int64_t since_us = clock_steady_us() - SECOND;
    struct queue_wait other = {.since_us = since_us};
    assert_int_equal(queue_time_is_up_us(&config, &other, since_us), since_us + DEADLINE);
    assert_int_equal(queue_enter(&config, &wait, &place, &error), 0);
    queue_note_progress(&place);
    queue_leave(&place);
    assert_true(queue_time_is_up_us(&config, &other, since_us) >= since_us + DEADLINE + SECOND);
}

static void progress_that_is_still_to_come_is_progress_now(void **state)
{
    (void)state;
    int64_t before_us = clock_steady_us();
    struct queue_wait wait = {.since_us = before_us};
    note_progress_at(INT64_MAX);
    int64_t up_us = queue_time_is_up_us(&config, &wait, before_us);
    assert_true(up_us >= before_us + DEADLINE && up_us <= clock_steady_us() + DEADLINE);
}

static void all_waits_have_an_end(void **state)
{
    (void)state;
    int64_t now_us = clock_steady_us();
    struct queue_wait wait = {.since_us = now_us - LONGEST, .waited_us = 30 * SECOND};
    note_progress_at(now_us);
    assert_int_equal(queue_time_is_up_us(&config, &wait, wait.since_us - 31 * SECOND),
                     wait.since_us + LONGEST - 30 * SECOND);
    /* Whoever may work for an hour may wait for an hour. */
    config.hook.deadline_ms = 3600000;
    assert_int_equal(queue_time_is_up_us(&config, &wait, wait.since_us - 31 * SECOND),
                     wait.since_us - 31 * SECOND + 3600 * SECOND + 30 * SECOND);
}

int main(void)
{
#define queue_test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        queue_test(one_has_its_place),
        queue_test(without_a_lock_file_there_is_no_queue),
        queue_test(work_counts_and_waits_that_are_over_do_not),
        queue_test(a_wait_counts_from_the_last_progress_on),
        queue_test(a_holder_notes_its_progress),
        queue_test(progress_that_is_still_to_come_is_progress_now),
        queue_test(all_waits_have_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
