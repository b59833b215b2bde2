/* SPDX-License-Identifier: Apache-2.0 */
/* Checking, revoking and counting tokens; and that each invalid token costs the same time. */
#include "tests/unit/test.h"

#include <dlfcn.h>
#include <mbedtls/constant_time.h>
#include <mbedtls/md.h>

#include "store/tables/token.h"

#include "tests/unit/store_fixture.h"

/* The linker calls these in place of mbedTLS's functions of the same names; they count the
 * calls. */
static struct {
    int hashes;
    size_t hashed_length;
    int comparisons;
} watch;

int mbedtls_ct_memcmp(const void *a, const void *b, size_t length)
{
    int (*real)(const void *, const void *, size_t) = dlsym(RTLD_NEXT, "mbedtls_ct_memcmp");
    watch.comparisons++;
    assert_int_equal(length, TOKEN_HASH_BYTES);
    return real(a, b, length);
}

int mbedtls_md(const mbedtls_md_info_t *info, const unsigned char *input, size_t length,
               unsigned char *output)
{
    int (*real)(const mbedtls_md_info_t *, const unsigned char *, size_t, unsigned char *) =
        dlsym(RTLD_NEXT, "mbedtls_md");
    watch.hashes++;
    watch.hashed_length = length;
    return real(info, input, length, output);
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
    enum token_verdict again = TOKEN_MALFORMED;
    OK(token_recheck(store, token->text.id, now_ms, &again, &error));
    assert_int_equal(again, expected);
    assert_string_equal(token_verdict_name(result.verdict), token_verdict_name(expected));
    assert_string_equal(result.id, token->text.id);
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

/* No file of the database contains the text or its secret part. */
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
    /* The time of the first revocation stays. */
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

/* An expired token is not counted, but it is revoked: the clock may be set back. */
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

/* Returns a well-formed text with that id and a secret of no token. */
static struct token_text text_of(const char *id)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static const uint8_t secret[TOKEN_SECRET_BYTES] = {1};
    struct token_text text;
    uint8_t bytes[8];
    uint64_t number = 0;
    for (size_t i = 0; i < TOKEN_ID_LENGTH; i++)
        number = number * 62 + (uint64_t)(strchr(digits, id[i]) - digits);
    for (size_t i = sizeof bytes; i-- > 0; number >>= 8)
        bytes[i] = (uint8_t)number;
    token_text_make(bytes, secret, &text);
    assert_string_equal(text.id, id);
    return text;
}

static void test_unknown(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    struct token token = mint(store, 8200, 0);
    struct token_text text = text_of("Unknown0");
    struct token_check result = check(store, text.text, 1000);
    assert_nobodys(&result, TOKEN_UNKNOWN);
    assert_string_equal(result.id, text.id);
    OK(guest_remove(store, 8200, &error));
    result = check(store, token.text.text, 1000);
    assert_nobodys(&result, TOKEN_UNKNOWN);
}

/* Another row is read in place of a missing one. */
static void test_no_other_id_stands_in(void **state)
{
    (void)state;
    static const char *const ids[] = {"00000000", "zzzzzzzz"};
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    (void)mint(store, 8200, 0);
    (void)mint(store, 8200, 0);
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        struct token_text text = text_of(ids[i]);
        struct token_check result = check(store, text.text, 1000);
        assert_nobodys(&result, TOKEN_UNKNOWN);
    }
}

static void test_wrong_secret(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    struct token token = mint(store, 8200, 0);
    struct token_text wrong = text_of(token.text.id);
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
    struct token_text unknown = text_of("Unknown0");
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
        assert_int_equal(watch.hashed_length, TOKEN_TEXT_LENGTH);
        assert_int_equal(watch.comparisons, 1);
    }
}

static void test_an_id_that_is_forgotten(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    enum token_verdict verdict = TOKEN_GOOD;
    put_guest(store, 8200);
    struct token token = mint(store, 8200, 0);
    OK(guest_remove(store, 8200, &error));
    OK(token_recheck(store, token.text.id, 1000, &verdict, &error));
    assert_int_equal(verdict, TOKEN_UNKNOWN);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(test_good),
        store_test(test_only_the_hash_is_kept),
        store_test(test_revoked),
        store_test(test_expired),
        store_test(test_counts),
        store_test(test_unknown),
        store_test(test_no_other_id_stands_in),
        store_test(test_wrong_secret),
        store_test(test_malformed),
        store_test(test_one_flipped_character),
        store_test(test_every_verdict_costs_the_same),
        store_test(test_an_id_that_is_forgotten),
        store_test(test_verdict_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
