/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/reply.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "tests/unit/test.h"

#define TAG "\"0123\""

static void make(const char *text, char ret[static ETAG_SIZE])
{
    cleanup(buffer_free) struct buffer content = BUFFER_EMPTY;
    buffer_add_text(&content, text);
    etag_make(&content, ret);
}

static void test_tag_is_the_hash_in_quotes(void **state)
{
    (void)state;
    char tag[ETAG_SIZE];
    make("abc", tag);
    assert_string_equal(tag, "\"ba7816bf8f01cfea414140de5dae2223\"");
    make("", tag);
    assert_string_equal(tag, "\"e3b0c44298fc1c149afbf4c8996fb924\"");
}

static void test_one_byte_makes_another_tag(void **state)
{
    (void)state;
    char a[ETAG_SIZE], b[ETAG_SIZE];
    make("token: x", a);
    make("token: y", b);
    assert_string_not_equal(a, b);
}

static void test_values_of_if_none_match(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool matches;
    } cases[] = {
        {TAG, true},
        {"W/" TAG, true},
        {"*", true},
        {" * ", true},
        {"\"a\", " TAG, true},
        {TAG ",\"a\"", true},
        {" ,, \"a,b\" ,W/\"c\",\t" TAG " ", true},
        {"", false},
        {"\"\"", false},
        {"0123", false},
        {"\"0123", false},
        {"0123\"", false},
        {"\"01234\"", false},
        {"\"012\"", false},
        {"w/" TAG, false},
        {"W/ " TAG, false},
        {"junk, " TAG, false},
        {"\"x\" junk " TAG, false},
        {"*, \"a\"", false},
        {"\"a\", *", false},
        {"W/", false},
        {"\"0123,\"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (etag_matches(cases[i].value, TAG) != cases[i].matches)
            fail_test("If-None-Match: %s", cases[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tag_is_the_hash_in_quotes),
        cmocka_unit_test(test_one_byte_makes_another_tag),
        cmocka_unit_test(test_values_of_if_none_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
