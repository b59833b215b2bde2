/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/credential.h"

#include "store/tables/event.h"
#include "store/tables/token.h"
#include "tests/unit/test.h"

#include "tests/unit/store_fixture.h"

#define HERE  "felhom@gitea.example"
#define THERE "felhom@other.example"
#define STATES \
    "SELECT group_concat(name || ' ' || state || ' ' || next_try_at_ms, '; ') FROM" \
    " (SELECT * FROM credential ORDER BY name)"

/* A guest that has a token. */
static void start(struct store *store, uint32_t vmid)
{
    struct token token = {0};
    put_guest(store, vmid);
    OK(token_mint(store, vmid, 1000, 0, &token, &error));
    token_text_wipe(&token.text);
}

static struct store *store_with_guests(void)
{
    struct store *store = store_of_scratch();
    start(store, 8200);
    start(store, 8300);
    return store;
}

static void begin(struct store *store, const char *name, uint32_t vmid)
{
    OK(credential_begin(store, name, HERE, vmid, 5000, &error));
}

static void make_live(struct store *store, const char *name, uint32_t vmid)
{
    bool is_wanted = false;
    begin(store, name, vmid);
    OK(credential_live(store, name, 65000, &is_wanted, &error));
    assert_true(is_wanted);
}

static void assert_next(struct store *store, const char *except, const char *name)
{
    struct credential_doomed doomed;
    OK(credential_next_doomed(store, HERE, except, &doomed, &error));
    assert_string_equal(doomed.name, name);
}

static void test_a_name_is_there_before_its_token(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guests();
    begin(store, "a", 8200);
    assert_raw("SELECT name || registry || vmid || state || minted || failures || created_at_ms"
               " FROM credential",
               "a" HERE "8200minting005000");
    FAILS(credential_begin(store, "a", HERE, 8300, 5000, &error), ERROR_INVALID,
          "the store refuses it: UNIQUE constraint failed: credential.name");
}

static void test_a_guest_without_a_token_gets_none(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guests();
    put_guest(store, 8400);
    FAILS(credential_begin(store, "a", HERE, 8400, 5000, &error), ERROR_CONFLICT,
          "guest 8400 has stopped");
    FAILS(credential_begin(store, "a", HERE, 8500, 5000, &error), ERROR_CONFLICT,
          "guest 8500 has stopped");
    OK(token_revoke_before(store, 8200, INT64_MAX, 2000, "", NULL, &error));
    FAILS(credential_begin(store, "a", HERE, 8200, 5000, &error), ERROR_CONFLICT,
          "guest 8200 has stopped");
    begin(store, "a", 8300);
    assert_raw("SELECT count(*) FROM credential", "1");
}

static void test_too_many_that_wait_to_be_deleted(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guests();
    for (int i = 0; i < CREDENTIALS_MAX; i++) {
        cleanup_free char *name = mem_format("n%02d", i);
        begin(store, name, 8200);
    }
    FAILS(credential_begin(store, "more", HERE, 8200, 5000, &error), ERROR_CONFLICT,
          "the registry has yet to delete 32 tokens of this guest");
    begin(store, "another's", 8300);
    OK(credential_forget(store, "n07", &error));
    begin(store, "more", 8200);
}

static void test_a_new_one_ends_those_before_it(void **state)
{
    (void)state;
    bool is_wanted = false;
    cleanup_store struct store *store = store_with_guests();
    make_live(store, "a", 8200);
    make_live(store, "x", 8300);
    begin(store, "b", 8200);
    OK(credential_live(store, "b", 70000, &is_wanted, &error));
    assert_true(is_wanted);
    assert_raw(STATES, "a doomed 70000; b live 5000; x live 5000");
    make_live(store, "c", 8200);
    assert_raw(STATES, "a doomed 70000; b doomed 65000; c live 5000; x live 5000");
    assert_raw("SELECT DISTINCT minted FROM credential", "1");
    FAILS(credential_live(store, "nobody's", 70000, &is_wanted, &error), ERROR_MISSING,
          "the store knows no registry token nobody's");
}

static void test_one_that_was_doomed_before_it_was_made(void **state)
{
    (void)state;
    bool is_wanted = true;
    cleanup_store struct store *store = store_with_guests();
    make_live(store, "a", 8200);
    begin(store, "b", 8200);
    OK(credential_doom(store, 8200, 9000, &error));
    start(store, 8200);
    make_live(store, "c", 8200);
    OK(credential_live(store, "b", 70000, &is_wanted, &error));
    assert_false(is_wanted);
    assert_raw(STATES, "a doomed 9000; b doomed 9000; c live 5000");
    assert_raw("SELECT minted FROM credential WHERE name = 'b'", "1");
}

static void test_dooming_is_for_one_guest_and_at_once(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guests();
    make_live(store, "a", 8200);
    make_live(store, "b", 8200);
    begin(store, "c", 8200);
    make_live(store, "x", 8300);
    OK(credential_doom(store, 8200, 9000, &error));
    assert_raw(STATES, "a doomed 9000; b doomed 9000; c doomed 9000; x live 5000");
    OK(credential_postpone(store, "a", 99000, &error));
    OK(credential_doom(store, 8200, 10000, &error)); /* as each phase may come twice */
    assert_raw(STATES, "a doomed 99000; b doomed 10000; c doomed 10000; x live 5000");
}

static void test_dooming_goes_with_its_transaction(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guests();
    make_live(store, "a", 8200);
    OK(store_begin(store, &error));
    OK(credential_doom(store, 8200, 9000, &error));
    store_rollback(store);
    assert_raw(STATES, "a live 5000");
}

static void test_what_was_left_behind_is_stale(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guests();
    make_live(store, "a", 8200);
    make_live(store, "b", 8300);
    begin(store, "c", 8300);
    begin(store, "d", 8300);
    OK(credential_doom_stale(store, "d", 9000, &error));
    assert_raw(STATES, "a live 5000; b live 5000; c doomed 9000; d minting 5000");
    OK(token_revoke_before(store, 8200, INT64_MAX, 2000, "", NULL, &error));
    OK(credential_doom_stale(store, "", 9500, &error));
    assert_raw(STATES, "a doomed 9500; b live 5000; c doomed 9000; d doomed 9500");
    OK(credential_doom_stale(store, "", 9999, &error));
    assert_raw(STATES, "a doomed 9500; b live 5000; c doomed 9000; d doomed 9500");
}

static void test_looking_for_stale_ones_needs_no_lock(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guests();
    cleanup_store struct store *other = store_of_scratch();
    make_live(store, "a", 8200);
    OK(store_begin(other, &error));
    OK(credential_doom_stale(store, "", 9000, &error));
}

static void test_names_outlive_their_guest(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guests();
    make_live(store, "a", 8200);
    begin(store, "b", 8200);
    OK(guest_remove(store, 8200, &error));
    OK(credential_doom_stale(store, "b", 9000, &error));
    assert_raw(STATES, "a doomed 9000; b minting 5000");
    assert_next(store, "", "a");
}

static void test_the_next_one_is_whose_time_comes_first(void **state)
{
    (void)state;
    struct credential_doomed doomed;
    cleanup_store struct store *store = store_with_guests();
    assert_next(store, "", "");
    make_live(store, "a", 8200);
    make_live(store, "b", 8300);
    OK(credential_begin(store, "0", THERE, 8300, 1, &error));
    assert_next(store, "", "");
    OK(credential_doom(store, 8200, 9000, &error));
    OK(credential_doom(store, 8300, 8000, &error));
    assert_next(store, "", "b");
    assert_next(store, "b", "a");
    OK(credential_postpone(store, "b", 12345, &error));
    OK(credential_postpone(store, "b", 23456, &error));
    assert_next(store, "", "a");
    OK(credential_next_doomed(store, HERE, "a", &doomed, &error));
    assert_string_equal(doomed.name, "b");
    assert_int_equal(doomed.vmid, 8300);
    assert_true(doomed.minted);
    assert_int_equal(doomed.failures, 2);
    assert_int_equal(doomed.created_at_ms, 5000);
    assert_int_equal(doomed.next_try_at_ms, 23456);
    OK(credential_next_doomed(store, THERE, "", &doomed, &error));
    assert_string_equal(doomed.name, "0");
    assert_false(doomed.minted);
    assert_int_equal(doomed.failures, 0);
}

static void test_hurrying_is_for_those_that_failed(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guests();
    make_live(store, "a", 8200);
    make_live(store, "b", 8200); /* a stays until 65000 */
    begin(store, "c", 8300);
    begin(store, "d", 8300);
    OK(credential_doom_stale(store, "", 6000, &error));
    OK(credential_postpone(store, "c", 99000, &error));
    OK(credential_postpone(store, "d", 7000, &error));
    OK(credential_hurry(store, 9000, &error));
    assert_raw(STATES, "a doomed 65000; b live 5000; c doomed 9000; d doomed 7000");
    assert_raw("SELECT group_concat(failures) FROM credential", "0,0,1,1");
}

static void test_forgetting(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guests();
    make_live(store, "a", 8200);
    begin(store, "b", 8200);
    OK(credential_forget(store, "a", &error));
    OK(credential_forget(store, "a", &error));
    assert_raw(STATES, "b minting 5000");
}

static void assert_elsewhere(struct store *store, const char *here, uint32_t count,
                             const char *which)
{
    uint32_t found;
    cleanup_free char *registry = NULL;
    OK(credential_count_elsewhere(store, here, &found, &registry, &error));
    assert_int_equal(found, count);
    assert_string_equal(registry, which);
}

static void test_those_of_other_registries(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_with_guests();
    assert_elsewhere(store, HERE, 0, "");
    begin(store, "a", 8200);
    assert_elsewhere(store, HERE, 0, "");
    OK(credential_begin(store, "b", THERE, 8200, 1, &error));
    assert_elsewhere(store, HERE, 1, THERE);
    assert_elsewhere(store, "", 2, HERE);
    assert_elsewhere(store, "felhom@GITEA.example", 2, HERE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(test_a_name_is_there_before_its_token),
        store_test(test_a_guest_without_a_token_gets_none),
        store_test(test_too_many_that_wait_to_be_deleted),
        store_test(test_a_new_one_ends_those_before_it),
        store_test(test_one_that_was_doomed_before_it_was_made),
        store_test(test_dooming_is_for_one_guest_and_at_once),
        store_test(test_dooming_goes_with_its_transaction),
        store_test(test_what_was_left_behind_is_stale),
        store_test(test_looking_for_stale_ones_needs_no_lock),
        store_test(test_names_outlive_their_guest),
        store_test(test_the_next_one_is_whose_time_comes_first),
        store_test(test_hurrying_is_for_those_that_failed),
        store_test(test_forgetting),
        store_test(test_those_of_other_registries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
