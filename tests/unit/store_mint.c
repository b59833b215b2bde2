/* SPDX-License-Identifier: Apache-2.0 */
/* Minting tokens: generations, ids that are taken, failing random numbers, and the limit of tokens
 * kept. */
#include "tests/unit/test.h"

#include <errno.h>
#include <sys/random.h>

#include "store/tables/token.h"

#include "tests/unit/store_fixture.h"

static struct {
    int randoms;
    int same_randoms; /* so many of the next give the same bytes */
    int random_errno;
} script;

/* The linker calls this in place of the C library's function of the same name; it follows the
 * test's script. */
int getentropy(void *output, size_t length)
{
    script.randoms++;
    errno = script.random_errno;
    if (script.random_errno)
        return -1;
    if (script.same_randoms-- > 0) {
        memset(output, 0x5A, length);
        return 0;
    }
    return getrandom(output, length, 0) == (ssize_t)length ? 0 : -1;
}

static int mint_test_make(void **state)
{
    memset(&script, 0, sizeof script);
    return state_make(state);
}

static struct token mint(struct store *store, uint32_t vmid)
{
    struct token token = {0};
    OK(token_mint(store, vmid, 1000, 0, &token, &error));
    return token;
}

static void assert_verdict(struct store *store, const struct token *token,
                           enum token_verdict expected)
{
    struct token_check result;
    OK(token_check(store, token->text.text, TOKEN_TEXT_LENGTH, 1000, &result, &error));
    assert_string_equal(token_verdict_name(result.verdict), token_verdict_name(expected));
}

static void test_mint(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct token token = {.generation = 55};
    FAILS(token_mint(store, 8200, 1000, 0, &token, &error), ERROR_MISSING,
          "the store knows no guest 8200 to mint a token for");
    assert_int_equal(token.generation, 55);
    put_guest(store, 8200);
    put_guest(store, 8300);
    struct token first = mint(store, 8200);
    struct token second = mint(store, 8200);
    struct token other = mint(store, 8300);
    struct guest guest;
    assert_int_equal(first.generation, 1);
    assert_int_equal(second.generation, 2);
    assert_int_equal(other.generation, 1);
    assert_string_not_equal(first.text.text, second.text.text);
    assert_string_not_equal(first.text.id, second.text.id);
    OK(guest_find(store, 8200, &guest, &error));
    assert_int_equal(guest.generation, 2);
}

static void test_taken_id_is_tried_again(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    script.same_randoms = 3;
    struct token first = mint(store, 8200);
    struct token second = mint(store, 8200);
    assert_int_equal(script.randoms, 1 + 3);
    assert_int_equal(second.generation, 2);
    assert_string_not_equal(first.text.id, second.text.id);
    assert_verdict(store, &first, TOKEN_GOOD);
    assert_verdict(store, &second, TOKEN_GOOD);
}

static void test_random_numbers_that_repeat(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct token token = {0};
    put_guest(store, 8200);
    script.same_randoms = 100;
    (void)mint(store, 8200);
    FAILS(token_mint(store, 8200, 1000, 0, &token, &error), ERROR_SYSTEM,
          "no free token id in 8 tries: the random numbers repeat");
    assert_int_equal(token.generation, 0);
    assert_string_equal(token.text.text, "");
    assert_raw("SELECT generation FROM guest", "1"); /* rolled back */
}

static void test_no_random_numbers(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct token token = {0};
    put_guest(store, 8200);
    script.random_errno = ENOSYS;
    FAILS(token_mint(store, 8200, 1000, 0, &token, &error), ERROR_SYSTEM,
          "no random numbers for a token: Function not implemented");
    assert_raw("SELECT (SELECT generation FROM guest) || (SELECT count(*) FROM token)", "00");
}

static void test_mint_in_a_transaction(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    OK(store_begin(store, &error));
    struct token dropped = mint(store, 8200);
    assert_verdict(store, &dropped, TOKEN_GOOD);
    store_rollback(store);
    assert_verdict(store, &dropped, TOKEN_UNKNOWN);
    OK(store_begin(store, &error));
    struct token kept = mint(store, 8200);
    assert_int_equal(kept.generation, 1);
    OK(store_commit(store, &error));
    store_rollback(store);
    assert_verdict(store, &kept, TOKEN_GOOD);
}

/* A guest that restarts for ever does not fill the disk; a valid token is never deleted. */
static void test_old_ones_are_forgotten(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    OK(store_begin(store, &error));
    for (int i = 0; i < 150; i++)
        (void)mint(store, 8200);
    OK(token_revoke_before(store, 8200, 150, 2000, "x", NULL, &error));
    OK(store_commit(store, &error));
    assert_raw("SELECT count(*) FROM token", "150");
    for (int i = 0; i < 9; i++)
        (void)mint(store, 8200);
    assert_raw("SELECT count(*) || ' ' || min(generation) FROM token", "159 1");
    (void)mint(store, 8200);
    assert_raw("SELECT count(*) || ' ' || min(generation) FROM token", "101 60");
    OK(store_begin(store, &error));
    for (int i = 0; i < 200; i++)
        (void)mint(store, 8200);
    OK(store_commit(store, &error));
    assert_raw("SELECT count(*) || ' ' || min(generation) FROM token", "211 150");
}

#define mint_test(function) \
    cmocka_unit_test_setup_teardown(function, mint_test_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        mint_test(test_mint),
        mint_test(test_taken_id_is_tried_again),
        mint_test(test_random_numbers_that_repeat),
        mint_test(test_no_random_numbers),
        mint_test(test_mint_in_a_transaction),
        mint_test(test_old_ones_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
