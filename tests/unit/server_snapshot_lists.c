/* SPDX-License-Identifier: Apache-2.0 */
/* What many requests for the lists of snapshots ask Proxmox. */
#include "server/jobs/snapshot_lists.h"

#include "tests/unit/test.h"

#include "tests/unit/test_clock.h"

#include "tests/unit/job_world.h"

#define READERS 5

static struct snapshot_lists *lists;

static int lists_set_up(void **state)
{
    clock_stand(); /* answers are shared for a second, however slow the machine is */
    lists = snapshot_lists_new(NULL);
    return set_up(state);
}

static int lists_tear_down(void **state)
{
    clock_go();
    snapshot_lists_free(lists);
    return tear_down(state);
}

static struct snapshot_question question_of(uint32_t vmid, int64_t newest, int64_t unfinished)
{
    return (struct snapshot_question){
        .config = &config,
        .node = "pve",
        .guest = {vmid == 8203 ? GUEST_QEMU : GUEST_LXC, vmid},
        .mark = {newest, unfinished},
        .deadline_us = clock_steady_us() + 600 * SECOND_US,
    };
}

/* Returns how many snapshots there are; -1 if the list cannot be read. */
static int read_count(const struct snapshot_question *question)
{
    cleanup(pve_snapshots_free) struct pve_snapshots snapshots = {0};
    struct error problem;
    if (snapshot_lists_read(lists, question, &snapshots, &problem) < 0)
        return -1;
    return (int)snapshots.count;
}

static int read_of(uint32_t vmid, int64_t newest, int64_t unfinished)
{
    const struct snapshot_question question = question_of(vmid, newest, unfinished);
    return read_count(&question);
}

struct reader {
    pthread_t thread;
    struct snapshot_question question;
    int count;
};

static void *reader_run(void *context)
{
    struct reader *reader = context;
    reader->count = read_count(&reader->question);
    return NULL;
}

static void reader_start(struct reader *reader, struct snapshot_question question)
{
    reader->question = question;
    assert_int_equal(pthread_create(&reader->thread, NULL, reader_run, reader), 0);
}

static void await_asked(int times)
{
    shell("until [ $(grep -c /snapshot requests.jsonl) = %d ]; do sleep 0.02; done", times);
}

static void await_waiting(uint32_t count)
{
    const struct timespec moment = {0, 1000000};
    while (snapshot_lists_waiting(lists) != count)
        (void)nanosleep(&moment, NULL);
}

/* The requests that are there when an answer comes have it, and whoever comes within a second. */
static void test_one_answer_for_all(void **state)
{
    (void)state;
    struct reader readers[READERS];
    control("{\"hold\": true}");
    for (size_t i = 0; i < READERS; i++) {
        reader_start(&readers[i], question_of(8200, 0, 0));
        await_waiting((uint32_t)i); /* the first one is asking */
        await_asked(1);
    }
    control("{}");
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
        assert_int_equal(readers[i].count, 1);
    }
    assert_asked("/snapshot", 1);
    clock_skip_ms(999);
    assert_int_equal(read_of(8200, 0, 0), 1);
    assert_asked("/snapshot", 1);
    clock_skip_ms(1);
    assert_int_equal(read_of(8200, 0, 0), 1);
    assert_asked("/snapshot", 2);
}

/* However long the answer has taken and others were served since. */
static void test_those_who_waited_have_a_late_answer(void **state)
{
    (void)state;
    struct reader same[2];
    struct reader other;
    control("{\"hold\": true}");
    reader_start(&same[0], question_of(8200, 0, 0));
    await_asked(1);
    reader_start(&same[1], question_of(8200, 0, 0));
    await_waiting(1);
    reader_start(&other, question_of(8203, 0, 0));
    await_waiting(2);
    clock_skip_ms(3000);
    control("{}");
    assert_int_equal(pthread_join(same[0].thread, NULL), 0);
    assert_int_equal(pthread_join(same[1].thread, NULL), 0);
    assert_int_equal(pthread_join(other.thread, NULL), 0);
    assert_int_equal(same[1].count, 1);
    assert_asked("/snapshot", 2);
    assert_asked("/qemu/8203/snapshot", 1);
}

static void test_a_job_of_the_guest_makes_it_stale(void **state)
{
    (void)state;
    assert_int_equal(read_of(8200, 1, 0), 1);
    assert_int_equal(read_of(8200, 2, 1), 1);
    assert_asked("/snapshot", 2);
    assert_int_equal(read_of(8200, 2, 0), 1);
    assert_int_equal(read_of(8200, 2, 0), 1);
    assert_asked("/snapshot", 3);
}

static void test_each_guest_has_its_own(void **state)
{
    (void)state;
    assert_int_equal(read_of(8200, 0, 0), 1);
    assert_int_equal(read_of(8203, 0, 0), 0);
    assert_int_equal(read_of(8200, 0, 0), 1);
    assert_int_equal(read_of(8203, 0, 0), 0);
    assert_asked("/snapshot", 2);
}

static void test_failures_are_not_shared(void **state)
{
    (void)state;
    control("{\"status\": 500}");
    assert_int_equal(read_of(8200, 0, 0), -1);
    control("{}");
    assert_int_equal(read_of(8200, 0, 0), 1);
    control("{\"status\": 500}");
    assert_int_equal(read_of(8200, 0, 0), 1);
    clock_skip_ms(1000);
    assert_int_equal(read_of(8200, 0, 0), -1);
}

static void test_old_answers_are_forgotten(void **state)
{
    (void)state;
    assert_int_equal(read_of(8200, 0, 0), 1);
    assert_int_equal(read_of(8203, 0, 0), 0);
    clock_skip_ms(600 * 1000);
    assert_int_equal(read_of(8200, 0, 0), 1);
    assert_asked("/snapshot", 3);
}

#define LISTS_TEST(function) \
    cmocka_unit_test_setup_teardown(function, lists_set_up, lists_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LISTS_TEST(test_one_answer_for_all),
        LISTS_TEST(test_those_who_waited_have_a_late_answer),
        LISTS_TEST(test_a_job_of_the_guest_makes_it_stale),
        LISTS_TEST(test_each_guest_has_its_own),
        LISTS_TEST(test_failures_are_not_shared),
        LISTS_TEST(test_old_answers_are_forgotten),
    };
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
