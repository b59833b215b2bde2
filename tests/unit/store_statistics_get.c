/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of rows. */
#include "tests/unit/test.h"

#include "store/tables/statistics.h"
#include "store/tables/token.h"

#include "tests/unit/store_fixture.h"

static void mint(struct store *store, uint32_t vmid, int64_t expires_at_ms)
{
    struct token token;
    OK(token_mint(store, vmid, 1000, expires_at_ms, &token, &error));
    token_text_wipe(&token.text);
}

static void test_of_nothing(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct statistics statistics;
    const struct statistics nothing = {0};
    OK(statistics_get(store, 5000, &statistics, &error));
    assert_memory_equal(&statistics, &nothing, sizeof nothing);
}

static void test_each_state(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct statistics statistics;
    const uint32_t vmids[] = {8200, 8201, 8202, 8203, 8204};
    for (size_t i = 0; i < ARRAY_SIZE(vmids); i++)
        put_guest(store, vmids[i]);
    OK(guest_set_state(store, 8201, GUEST_RUNNING, 1000, &error));
    OK(guest_set_state(store, 8202, GUEST_STOPPING, 1000, &error));
    OK(guest_set_state(store, 8203, GUEST_STOPPED, 1000, &error));
    OK(guest_set_state(store, 8204, GUEST_STOPPED, 1000, &error));
    mint(store, 8200, 0);
    OK(token_revoke_before(store, 8200, INT64_MAX, 2000, "x", NULL, &error));
    mint(store, 8201, 0);
    mint(store, 8202, 5001);
    mint(store, 8203, 5000);
    run_raw("INSERT INTO job (vmid, kind, phase, created_at_ms, changed_at_ms, finished_at_ms)"
            " VALUES (8200, 'backup', 'running', 1, 1, NULL), (8200, 'backup', 'done', 1, 1, 2)");
    OK(statistics_get(store, 5000, &statistics, &error));
    assert_int_equal(statistics.guests_starting, 1);
    assert_int_equal(statistics.guests_running, 1);
    assert_int_equal(statistics.guests_stopping, 1);
    assert_int_equal(statistics.guests_stopped, 2);
    assert_int_equal(statistics.tokens.good, 2);
    assert_int_equal(statistics.tokens.expired, 1);
    assert_int_equal(statistics.tokens.revoked, 1);
    assert_int_equal(statistics.jobs_running, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(test_of_nothing),
        store_test(test_each_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
