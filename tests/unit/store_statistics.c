/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/statistics.h"

#include <string.h>

#include "schema/base/memory.h"
#include "store/tables/job.h"
#include "store/tables/token.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/test.h"

#define NOW_MS 1000000

static void mint(struct store *store, uint32_t vmid, int64_t at_ms, int64_t expires_at_ms)
{
    struct token token;
    OK(token_mint(store, vmid, at_ms, expires_at_ms, &token, &error));
    token_text_wipe(&token.text);
}

static void tokens_by_state(void **state)
{
    struct statistics_tokens tokens;
    cleanup_store struct store *store = store_of_scratch();
    (void)state;
    OK(statistics_tokens(store, NOW_MS, &tokens, &error));
    assert_int_equal(tokens.good + tokens.expired + tokens.revoked, 0);
    put_guest(store, 8200);
    put_guest(store, 8300);
    mint(store, 8200, 1, 0);
    mint(store, 8200, 2, 3);
    OK(token_revoke_before(store, 8200, INT64_MAX, 2, "test", NULL, &error));
    mint(store, 8200, 4, NOW_MS);
    mint(store, 8300, 5, NOW_MS + 1);
    mint(store, 8300, 6, 0);
    mint(store, 8300, 7, 0);
    OK(statistics_tokens(store, NOW_MS, &tokens, &error));
    assert_int_equal(tokens.revoked, 2);
    assert_int_equal(tokens.expired, 1);
    assert_int_equal(tokens.good, 3);
}

static void add_job(struct store *store, uint32_t vmid, enum job_kind kind, int64_t *ret_id)
{
    struct job_obstacle running;
    const struct job job = {.vmid = vmid, .kind = kind, .name = "a"};
    OK(job_add(store, &job, NULL, NOW_MS, ret_id, &running, &error));
}

static void jobs_by_kind_and_phase(void **state)
{
    int64_t id;
    struct statistics_jobs jobs;
    cleanup_store struct store *store = store_of_scratch();
    (void)state;
    put_guest(store, 8200);
    put_guest(store, 8300);
    add_job(store, 8200, JOB_SNAPSHOT, &id);
    OK(job_finish(store, id, true, NULL, NOW_MS, &error));
    add_job(store, 8200, JOB_SNAPSHOT, &id);
    OK(job_finish(store, id, true, NULL, NOW_MS, &error));
    add_job(store, 8200, JOB_ROLLBACK, &id);
    OK(job_finish(store, id, false, "no", NOW_MS, &error));
    add_job(store, 8200, JOB_BACKUP, &id);
    OK(job_snapshotted(store, id, NOW_MS, &error));
    add_job(store, 8300, JOB_BACKUP, &id);
    OK(statistics_jobs(store, &jobs, &error));
    assert_int_equal(jobs.count[JOB_SNAPSHOT][JOB_DONE], 2);
    assert_int_equal(jobs.count[JOB_ROLLBACK][JOB_FAILED], 1);
    assert_int_equal(jobs.count[JOB_BACKUP][JOB_SNAPSHOTTED], 1);
    assert_int_equal(jobs.count[JOB_BACKUP][JOB_RUNNING], 1);
    assert_int_equal(jobs.count[JOB_SNAPSHOT][JOB_RUNNING], 0);
}

static void the_size_is_that_of_the_files(void **state)
{
    struct stat database;
    struct stat log;
    cleanup_store struct store *store = store_of_scratch();
    (void)state;
    put_guest(store, 8200);
    assert_int_equal(stat(in_scratch("state/db/agent.db"), &database), 0);
    assert_int_equal(stat(in_scratch("state/db/agent.db-wal"), &log), 0);
    assert_true(log.st_size > 0);
    assert_int_equal(statistics_bytes(store), database.st_size + log.st_size);
}

struct seen {
    struct statistics_guest guests[3];
    size_t count;
    int verdict;
};

static int see(const struct statistics_guest *guest, void *context)
{
    struct seen *seen = context;
    assert_string_equal(guest->name, "web");
    seen->guests[seen->count++] = *guest;
    return seen->verdict;
}

static void test_restoring(struct store *store, uint32_t vmid, const char *problem, int64_t at_ms)
{
    const struct restore_test test = {.vmid = vmid, .started_at_ms = 1, .archive = "a"};
    OK(restore_test_begin(store, &test, &error));
    if (at_ms > 0)
        OK(restore_test_finish(store, vmid, problem, at_ms, &error));
}

static void put_machine(struct store *store, uint32_t vmid)
{
    struct guest guest = guest_named(vmid, "web");
    guest.kind = GUEST_QEMU;
    guest.state = GUEST_RUNNING;
    OK(guest_put(store, &guest, &error));
}

static void guests_with_what_happened_to_them(void **state)
{
    struct seen seen = {.count = 0};
    cleanup_store struct store *store = store_of_scratch();
    (void)state;
    put_machine(store, 8201);
    put_guest(store, 8200);
    mint(store, 8200, 10, 0);
    mint(store, 8200, 20, 0);
    mint(store, 8200, 30, 40);
    OK(backup_put(store, 8200, &(struct backup){.archive = "a", .at_ms = 50}, &error));
    test_restoring(store, 8200, NULL, 60);
    test_restoring(store, 8201, "no", 70);
    OK(statistics_guests(store, NOW_MS, see, &seen, &error));
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.guests[0].vmid, 8200);
    assert_int_equal(seen.guests[0].kind, GUEST_LXC);
    assert_int_equal(seen.guests[0].state, GUEST_STARTING);
    assert_int_equal(seen.guests[0].token_at_ms, 20);
    assert_int_equal(seen.guests[0].backup_at_ms, 50);
    assert_int_equal(seen.guests[0].tested_at_ms, 60);
    assert_true(seen.guests[0].test_passed);
    assert_int_equal(seen.guests[1].vmid, 8201);
    assert_int_equal(seen.guests[1].kind, GUEST_QEMU);
    assert_int_equal(seen.guests[1].state, GUEST_RUNNING);
    assert_true(seen.guests[1].token_at_ms == STATISTICS_NEVER);
    assert_true(seen.guests[1].backup_at_ms == STATISTICS_NEVER);
    assert_int_equal(seen.guests[1].tested_at_ms, 70);
    assert_false(seen.guests[1].test_passed);
}

static void a_test_under_way_has_no_end(void **state)
{
    struct seen seen = {.verdict = 7};
    cleanup_store struct store *store = store_of_scratch();
    (void)state;
    put_guest(store, 8200);
    put_guest(store, 8201);
    test_restoring(store, 8200, NULL, 0);
    assert_int_equal(statistics_guests(store, NOW_MS, see, &seen, &error), 7);
    assert_int_equal(seen.count, 1);
    assert_true(seen.guests[0].tested_at_ms == STATISTICS_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(tokens_by_state),
        store_test(jobs_by_kind_and_phase),
        store_test(the_size_is_that_of_the_files),
        store_test(guests_with_what_happened_to_them),
        store_test(a_test_under_way_has_no_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
