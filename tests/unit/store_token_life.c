/* SPDX-License-Identifier: Apache-2.0 */
/* How long tokens are valid, and the expiry that a newer token sets for them. */
#include "tests/unit/test.h"

#include "store/tables/token.h"

#include "tests/unit/store_fixture.h"

static struct token mint(struct store *store, int64_t now_ms, int64_t expires_at_ms)
{
    struct token token = {0};
    OK(token_mint(store, 8200, now_ms, expires_at_ms, &token, &error));
    return token;
}

static void assert_end(struct store *store, const struct token *token, int64_t expected)
{
    struct token_life life;
    OK(token_find(store, token->text.id, &life, &error));
    assert_string_equal(life.id, token->text.id);
    assert_int_equal(life.expires_at_ms, expected);
}

static void test_end_by_age(void **state)
{
    (void)state;
    assert_int_equal(token_life_end(1000, 0), 0);
    assert_int_equal(token_life_end(1000, 500), 1500);
}

static void test_newest(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct token_life life = {.generation = 55};
    put_guest(store, 8200);
    OK(token_newest(store, 8200, &life, &error));
    assert_int_equal(life.generation, 0);
    assert_string_equal(life.id, "");
    (void)mint(store, 1000, 0);
    struct token second = mint(store, 2000, 9000);
    OK(token_newest(store, 8200, &life, &error));
    assert_string_equal(life.id, second.text.id);
    assert_int_equal(life.generation, 2);
    assert_int_equal(life.created_at_ms, 2000);
    assert_int_equal(life.expires_at_ms, 9000);
    assert_int_equal(life.revoked_at_ms, 0);
    OK(token_revoke_before(store, 8200, INT64_MAX, 3000, "x", NULL, &error));
    OK(token_newest(store, 8200, &life, &error));
    assert_int_equal(life.generation, 2);
    assert_int_not_equal(life.revoked_at_ms, 0);
    OK(token_newest(store, 8300, &life, &error));
    assert_int_equal(life.generation, 0);
}

static void test_find(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct token_life life = {.generation = 55};
    put_guest(store, 8200);
    OK(token_find(store, "Unknown0", &life, &error));
    assert_int_equal(life.generation, 0);
    OK(token_find(store, "", &life, &error));
    assert_string_equal(life.id, "");
    struct token token = mint(store, 1000, 0);
    assert_end(store, &token, 0);
}

static void test_end_before(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    struct token revoked = mint(store, 1000, 0);
    OK(token_revoke_before(store, 8200, INT64_MAX, 1000, "x", NULL, &error));
    struct token endless = mint(store, 1000, 0);
    struct token sooner = mint(store, 1000, 4999);
    struct token later = mint(store, 1000, 5001);
    struct token newest = mint(store, 1000, 0);
    OK(token_end_before(store, 8200, newest.generation, 5000, 1, &error));
    assert_end(store, &revoked, 0);
    assert_end(store, &endless, 5000);
    assert_end(store, &sooner, 4999);
    assert_end(store, &later, 5000);
    assert_end(store, &newest, 0);
    OK(token_end_before(store, 8200, newest.generation, 9000, 1, &error));
    assert_end(store, &endless, 5000); /* never longer */
    OK(token_end_before(store, 8300, INT64_MAX, 1, 1, &error));
    assert_end(store, &newest, 0);
}

static void test_good_until_the_end(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    enum token_verdict verdict;
    put_guest(store, 8200);
    struct token old = mint(store, 1000, 0);
    struct token new = mint(store, 2000, 0);
    OK(token_end_before(store, 8200, new.generation, 5000, 1, &error));
    OK(token_recheck(store, old.text.id, 4999, &verdict, &error));
    assert_int_equal(verdict, TOKEN_GOOD);
    OK(token_recheck(store, old.text.id, 5000, &verdict, &error));
    assert_int_equal(verdict, TOKEN_EXPIRED);
}

/* A guest that is rotated for ever without a stop does not fill the disk. */
static void test_ended_ones_are_forgotten(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    OK(store_begin(store, &error));
    for (int i = 0; i < 158; i++)
        (void)mint(store, 1000, 0);
    OK(token_end_before(store, 8200, 158, 2000, 1, &error));
    (void)mint(store, 1999, 0);
    OK(store_commit(store, &error));
    assert_raw("SELECT count(*) FROM token", "159");
    (void)mint(store, 2000, 0);
    assert_raw("SELECT count(*) || ' ' || min(generation) FROM token", "101 60");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end_by_age),
        store_test(test_newest),
        store_test(test_find),
        store_test(test_end_before),
        store_test(test_good_until_the_end),
        store_test(test_ended_ones_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
