/* SPDX-License-Identifier: Apache-2.0 */
/* A token's life, and that every bad one costs the same. The random numbers, the hash and the
 * comparison are watched from here. */
#include "tests/unit/test.h"

#define mbedtls_ctr_drbg_random watched_random
#define mbedtls_ct_memcmp       watched_memcmp
#define token_text_hash         watched_hash
#include "store/token.c"
#undef mbedtls_ctr_drbg_random
#undef mbedtls_ct_memcmp
#undef token_text_hash

#include "tests/unit/store_fixture.h"

int mbedtls_ctr_drbg_random(void *context, unsigned char *output, size_t length);
int mbedtls_ct_memcmp(const void *a, const void *b, size_t length);
void token_text_hash(const struct token_text *token, uint8_t ret[static TOKEN_HASH_BYTES]);

static struct {
    int hashes;
    int comparisons;
    int randoms;
    int same_randoms; /* so many of the next give the same bytes */
    int random_result;
} watch;

int watched_random(void *context, unsigned char *output, size_t length)
{
    watch.randoms++;
    if (watch.random_result)
        return watch.random_result;
    if (watch.same_randoms-- > 0) {
        memset(output, 0x5A, length);
        return 0;
    }
    return mbedtls_ctr_drbg_random(context, output, length);
}

int watched_memcmp(const void *a, const void *b, size_t length)
{
    watch.comparisons++;
    assert_int_equal(length, TOKEN_HASH_BYTES);
    return mbedtls_ct_memcmp(a, b, length);
}

void watched_hash(const struct token_text *token, uint8_t ret[static TOKEN_HASH_BYTES])
{
    watch.hashes++;
    assert_int_equal(strlen(token->text), TOKEN_TEXT_LENGTH);
    token_text_hash(token, ret);
}

static int token_test_make(void **state)
{
    memset(&watch, 0, sizeof watch);
    return state_make(state);
}

static struct token mint(struct store *store, uint32_t vmid, int64_t expires_at_ms)
{
    struct token token = {0};
    OK(token_mint(store, vmid, 1000, expires_at_ms, &token, &error));
    return token;
}

static struct token_check check(struct store *store, const char *text, int64_t now_ms)
{
    struct token_check result;
    memset(&result, 0xEE, sizeof result);
    OK(token_check(store, text, strlen(text), now_ms, &result, &error));
    return result;
}

static void assert_verdict(struct store *store, const struct token *token, int64_t now_ms,
                           enum token_verdict expected)
{
    struct token_check result = check(store, token->text.text, now_ms);
    assert_string_equal(token_verdict_name(result.verdict), token_verdict_name(expected));
    assert_string_equal(result.id, token->text.id);
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
    struct token first = mint(store, 8200, 0);
    struct token second = mint(store, 8200, 0);
    struct token other = mint(store, 8300, 0);
    struct guest guest;
    assert_int_equal(first.generation, 1);
    assert_int_equal(second.generation, 2);
    assert_int_equal(other.generation, 1);
    assert_string_not_equal(first.text.text, second.text.text);
    assert_string_not_equal(first.text.id, second.text.id);
    OK(guest_find(store, 8200, &guest, &error));
    assert_int_equal(guest.generation, 2);
}

static void test_good(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    struct token first = mint(store, 8200, 0);
    struct token second = mint(store, 8200, 0);
    struct token_check result = check(store, second.text.text, INT64_MAX);
    assert_int_equal(result.verdict, TOKEN_GOOD);
    assert_int_equal(result.vmid, 8200);
    assert_int_equal(result.generation, 2);
    assert_string_equal(result.id, second.text.id);
    assert_verdict(store, &first, 1000, TOKEN_GOOD); /* older ones stay as they are */
}

/* Neither the text nor its secret part stands in any of the database's files. */
static void test_only_the_hash_is_kept(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    struct token token = mint(store, 8200, 0);
    shell("grep -qr %s state/db", token.text.id);
    shell("! grep -qr -e %.43s state/db", token.text.text + 13);
}

static void test_revoked(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    int count = -1;
    put_guest(store, 8200);
    put_guest(store, 8300);
    struct token tokens[] = {mint(store, 8200, 0), mint(store, 8200, 0), mint(store, 8200, 0)};
    struct token other = mint(store, 8300, 0);
    OK(token_revoke_before(store, 8200, 3, 2000, "pre-start", &count, &error));
    assert_int_equal(count, 2);
    assert_verdict(store, &tokens[0], 3000, TOKEN_REVOKED);
    assert_verdict(store, &tokens[1], 3000, TOKEN_REVOKED);
    assert_verdict(store, &tokens[2], 3000, TOKEN_GOOD);
    assert_int_equal(check(store, tokens[0].text.text, 3000).vmid, 8200);
    assert_raw("SELECT group_concat(revoked_at_ms || revoked_reason) FROM token",
               "2000pre-start,2000pre-start");
    OK(token_revoke_before(store, 8200, INT64_MAX, 4000, "post-stop", &count, &error));
    assert_int_equal(count, 1);
    assert_verdict(store, &tokens[2], 3000, TOKEN_REVOKED);
    assert_verdict(store, &other, 3000, TOKEN_GOOD);
    /* The first revocation is the one that is remembered. */
    assert_raw("SELECT group_concat(n) FROM (SELECT count(*) AS n FROM token"
               " WHERE vmid = 8200 GROUP BY revoked_at_ms ORDER BY revoked_at_ms)",
               "2,1");
    OK(token_revoke_before(store, 8200, INT64_MAX, 5000, "again", &count, &error));
    assert_int_equal(count, 0);
    OK(token_revoke_before(store, 777, INT64_MAX, 5000, "nobody", NULL, &error));
}

static void test_expired(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    struct token token = mint(store, 8200, 2000);
    assert_verdict(store, &token, 1999, TOKEN_GOOD);
    assert_verdict(store, &token, 2000, TOKEN_EXPIRED);
    assert_verdict(store, &token, INT64_MAX, TOKEN_EXPIRED);
}

/* One that has expired is not counted, but it is revoked: the clock may be set back. */
static void test_counts(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    int count = -1;
    put_guest(store, 8200);
    struct token expiring = mint(store, 8200, 2000);
    (void)mint(store, 8200, 0);
    (void)mint(store, 8200, 9000);
    OK(token_count_before(store, 8200, INT64_MAX, 1999, &count, &error));
    assert_int_equal(count, 3);
    OK(token_count_before(store, 8200, 3, 2000, &count, &error));
    assert_int_equal(count, 1);
    OK(token_count_before(store, 8200, 1, 1999, &count, &error));
    assert_int_equal(count, 0);
    OK(token_count_before(store, 8300, INT64_MAX, 1999, &count, &error));
    assert_int_equal(count, 0);
    OK(token_revoke_before(store, 8200, 3, 2000, "rotated", &count, &error));
    assert_int_equal(count, 1);
    assert_verdict(store, &expiring, 1500, TOKEN_REVOKED);
    OK(token_count_before(store, 8200, INT64_MAX, 1999, &count, &error));
    assert_int_equal(count, 1);
}

static void assert_nobodys(const struct token_check *result, enum token_verdict expected)
{
    assert_int_equal(result->verdict, expected);
    assert_int_equal(result->vmid, 0);
    assert_int_equal(result->generation, 0);
}

static struct token_text text_of(const char *id, uint8_t fill)
{
    uint8_t id_random[8] = {0};
    uint8_t secret[TOKEN_SECRET_BYTES];
    struct token_text text;
    memset(secret, fill, sizeof secret);
    id_random[7] = (uint8_t)*id;
    token_text_make(id_random, secret, &text);
    return text;
}

static void test_unknown(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    struct token token = mint(store, 8200, 0);
    struct token_text text = text_of("x", 1);
    struct token_check result = check(store, text.text, 1000);
    assert_nobodys(&result, TOKEN_UNKNOWN);
    assert_string_equal(result.id, text.id);
    OK(guest_remove(store, 8200, &error));
    result = check(store, token.text.text, 1000);
    assert_nobodys(&result, TOKEN_UNKNOWN);
}

/* The text of a known id with another secret and a fitting check. */
static void test_wrong_secret(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct token_text wrong;
    uint8_t same[8];
    uint8_t secret[TOKEN_SECRET_BYTES] = {1};
    put_guest(store, 8200);
    watch.same_randoms = 1;
    struct token token = mint(store, 8200, 0);
    memset(same, 0x5A, sizeof same);
    token_text_make(same, secret, &wrong);
    assert_string_equal(wrong.id, token.text.id);
    for (int revoked = 0; revoked < 2; revoked++) {
        struct token_check result = check(store, wrong.text, 1000);
        assert_int_equal(result.verdict, TOKEN_UNKNOWN);
        assert_int_equal(result.vmid, 8200);
        assert_int_equal(result.generation, 1);
        assert_string_equal(result.id, token.text.id);
        OK(token_revoke_before(store, 8200, INT64_MAX, 1000, "x", NULL, &error));
    }
    assert_verdict(store, &token, 1000, TOKEN_REVOKED);
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "x", "Bearer", "fh1_--------_-------------------------------------------_------",
        "fh1_00000000_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_000000"};
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    struct token token = mint(store, 8200, 0);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct token_check result = check(store, texts[i], 1000);
        assert_nobodys(&result, TOKEN_MALFORMED);
        assert_string_equal(result.id, "");
    }
    cleanup_free char *longer = mem_format("%s ", token.text.text);
    assert_int_equal(check(store, longer, 1000).verdict, TOKEN_MALFORMED);
    cleanup_free char *huge = mem_new_array(1 << 20, 1);
    struct token_check result;
    OK(token_check(store, huge, 1 << 20, 1000, &result, &error));
    assert_int_equal(result.verdict, TOKEN_MALFORMED);
    OK(token_check(store, NULL, 0, 1000, &result, &error));
    assert_int_equal(result.verdict, TOKEN_MALFORMED);
}

static void test_one_flipped_character(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    struct token token = mint(store, 8200, 0);
    for (size_t i = 0; i < TOKEN_TEXT_LENGTH; i++) {
        char text[TOKEN_TEXT_LENGTH + 1];
        memcpy(text, token.text.text, sizeof text);
        text[i] = text[i] == 'A' ? 'B' : 'A';
        assert_int_not_equal(check(store, text, 1000).verdict, TOKEN_GOOD);
    }
}

static void test_every_verdict_costs_the_same(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    struct token revoked = mint(store, 8200, 0);
    OK(token_revoke_before(store, 8200, INT64_MAX, 1000, "x", NULL, &error));
    struct token expired = mint(store, 8200, 1);
    struct token good = mint(store, 8200, 0);
    struct token_text unknown = text_of("x", 1);
    const struct {
        const char *text;
        enum token_verdict verdict;
    } cases[] = {{good.text.text, TOKEN_GOOD},       {"", TOKEN_MALFORMED},
                 {"fh1_", TOKEN_MALFORMED},          {unknown.text, TOKEN_UNKNOWN},
                 {revoked.text.text, TOKEN_REVOKED}, {expired.text.text, TOKEN_EXPIRED}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        watch.hashes = watch.comparisons = 0;
        assert_int_equal(check(store, cases[i].text, 1000).verdict, cases[i].verdict);
        assert_int_equal(watch.hashes, 1);
        assert_int_equal(watch.comparisons, 1);
    }
}

static void test_taken_id_is_tried_again(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    watch.same_randoms = 3;
    struct token first = mint(store, 8200, 0);
    struct token second = mint(store, 8200, 0);
    assert_int_equal(watch.randoms, 1 + 3);
    assert_int_equal(second.generation, 2);
    assert_string_not_equal(first.text.id, second.text.id);
    assert_verdict(store, &first, 1000, TOKEN_GOOD);
    assert_verdict(store, &second, 1000, TOKEN_GOOD);
}

static void test_random_numbers_that_repeat(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct token token = {0};
    put_guest(store, 8200);
    watch.same_randoms = 100;
    (void)mint(store, 8200, 0);
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
    watch.random_result = MBEDTLS_ERR_CTR_DRBG_ENTROPY_SOURCE_FAILED;
    FAILS(token_mint(store, 8200, 1000, 0, &token, &error), ERROR_SYSTEM,
          "no random numbers for a token: mbedTLS error -0x0034");
    assert_raw("SELECT (SELECT generation FROM guest) || (SELECT count(*) FROM token)", "00");
}

static void test_mint_in_a_transaction(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    OK(store_begin(store, &error));
    struct token dropped = mint(store, 8200, 0);
    assert_verdict(store, &dropped, 1000, TOKEN_GOOD);
    store_rollback(store);
    assert_verdict(store, &dropped, 1000, TOKEN_UNKNOWN);
    OK(store_begin(store, &error));
    struct token kept = mint(store, 8200, 0);
    assert_int_equal(kept.generation, 1);
    OK(store_commit(store, &error));
    store_rollback(store);
    assert_verdict(store, &kept, 1000, TOKEN_GOOD);
}

/* A guest that restarts for ever does not fill the disk; what is still good is never forgotten. */
static void test_old_ones_are_forgotten(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    OK(store_begin(store, &error));
    for (int i = 0; i < 150; i++)
        (void)mint(store, 8200, 0);
    OK(token_revoke_before(store, 8200, 150, 2000, "x", NULL, &error));
    OK(store_commit(store, &error));
    assert_raw("SELECT count(*) FROM token", "150");
    for (int i = 0; i < 2; i++)
        (void)mint(store, 8200, 0);
    assert_raw("SELECT count(*) || ' ' || min(generation) FROM token", "101 52");
    OK(store_begin(store, &error));
    for (int i = 0; i < 200; i++)
        (void)mint(store, 8200, 0);
    OK(store_commit(store, &error));
    assert_raw("SELECT count(*) || ' ' || min(generation) FROM token", "203 150");
}

static void test_verdict_names(void **state)
{
    (void)state;
    assert_string_equal(token_verdict_name(TOKEN_GOOD), "good");
    assert_string_equal(token_verdict_name(TOKEN_MALFORMED), "malformed");
    assert_string_equal(token_verdict_name(TOKEN_UNKNOWN), "unknown");
    assert_string_equal(token_verdict_name(TOKEN_REVOKED), "revoked");
    assert_string_equal(token_verdict_name(TOKEN_EXPIRED), "expired");
}

#define token_unit(function) \
    cmocka_unit_test_setup_teardown(function, token_test_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        token_unit(test_mint),
        token_unit(test_good),
        token_unit(test_only_the_hash_is_kept),
        token_unit(test_revoked),
        token_unit(test_expired),
        token_unit(test_counts),
        token_unit(test_unknown),
        token_unit(test_wrong_secret),
        token_unit(test_malformed),
        token_unit(test_one_flipped_character),
        token_unit(test_every_verdict_costs_the_same),
        token_unit(test_taken_id_is_tried_again),
        token_unit(test_random_numbers_that_repeat),
        token_unit(test_no_random_numbers),
        token_unit(test_mint_in_a_transaction),
        token_unit(test_old_ones_are_forgotten),
        token_unit(test_verdict_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
