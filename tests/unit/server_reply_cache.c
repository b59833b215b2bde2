/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/reply_cache.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "tests/unit/test.h"

static const struct reply_cache_key first = {8200, {7, 1000}, 1, 5};
static struct reply_cache *kept;

static int set_up(void **state)
{
    (void)state;
    kept = reply_cache_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    reply_cache_free(kept);
    return 0;
}

static void put(const struct reply_cache_key *key, const char *text)
{
    cleanup_buffer struct buffer answer = BUFFER_EMPTY;
    buffer_add_text(&answer, text);
    reply_cache_put(kept, key, &answer);
}

static void assert_kept(const struct reply_cache_key *key, const char *text)
{
    cleanup_buffer struct buffer found = BUFFER_EMPTY;
    assert_true(reply_cache_find(kept, key, &found));
    assert_string_equal(buffer_text(&found), text);
}

static void assert_none(const struct reply_cache_key *key)
{
    cleanup_buffer struct buffer found = BUFFER_EMPTY;
    assert_false(reply_cache_find(kept, key, &found));
    assert_int_equal(found.length, 0);
}

static void test_what_was_put_is_found_again(void **state)
{
    (void)state;
    assert_none(&first);
    put(&first, "{\"a\":1}\n");
    assert_kept(&first, "{\"a\":1}\n");
    assert_kept(&first, "{\"a\":1}\n");
    put(&first, "{}\n");
    assert_kept(&first, "{}\n");
}

static void test_anything_else_is_another(void **state)
{
    (void)state;
    static const struct reply_cache_key others[] = {
        {8201, {7, 1000}, 1, 5}, {8200 + 1024, {7, 1000}, 1, 5}, {8200, {8, 1000}, 1, 5},
        {8200, {7, 1001}, 1, 5}, {8200, {7, 1000}, 2, 5},        {8200, {7, 1000}, 1, 6},
    };
    put(&first, "first\n");
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        assert_none(&others[i]);
    assert_kept(&first, "first\n");
}

static void test_the_newer_takes_the_place(void **state)
{
    (void)state;
    static const struct reply_cache_key newer = {8200, {8, 2000}, 1, 5};
    static const struct reply_cache_key neighbour = {8200 + 1024, {1, 1}, 1, 5};
    put(&first, "first\n");
    put(&newer, "newer\n");
    assert_none(&first);
    assert_kept(&newer, "newer\n");
    put(&neighbour, "neighbour\n");
    assert_none(&newer);
    assert_kept(&neighbour, "neighbour\n");
}

static void test_what_is_too_long_is_not_kept(void **state)
{
    (void)state;
    static char text[REPLY_CACHE_LIMIT + 2];
    memset(text, 'x', REPLY_CACHE_LIMIT);
    put(&first, text);
    assert_kept(&first, text);
    static const struct reply_cache_key other = {8300, {1, 1}, 1, 5};
    text[REPLY_CACHE_LIMIT] = 'x';
    put(&other, text);
    assert_none(&other);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_put_is_found_again),
        TEST(test_anything_else_is_another),
        TEST(test_the_newer_takes_the_place),
        TEST(test_what_is_too_long_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
