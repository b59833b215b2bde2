/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/buffer.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "tests/unit/test.h"

#define LONGEST 1100 /* past the sizes at which a buffer first grows */

static void test_a_new_one_is_an_empty_text(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY;
    assert_string_equal(buffer_text(&buffer), "");
    buffer_add(&buffer, NULL, 0);
    assert_string_equal(buffer_text(&buffer), "");
    buffer_free(&buffer);
    assert_null(buffer.data);
}

/* Whatever the lengths of the present and the added text. */
static void test_formats_fit_at_every_length(void **state)
{
    (void)state;
    char text[LONGEST + 1];
    for (size_t length = 0; length < LONGEST; length++) {
        cleanup_buffer struct buffer buffer = BUFFER_EMPTY;
        memset(text, 'x', length);
        text[length] = '\0';
        buffer_add_format(&buffer, "%s", text);
        buffer_add_format(&buffer, "-%s-", text);
        assert_int_equal(buffer.length, 2 * length + 2);
        assert_int_equal(strlen(buffer_text(&buffer)), buffer.length);
        assert_memory_equal(buffer.data, text, length);
        assert_int_equal(buffer.data[length], '-');
        assert_memory_equal(buffer.data + length + 1, text, length);
    }
}

static void test_bytes_are_added_one_by_one(void **state)
{
    (void)state;
    cleanup_buffer struct buffer buffer = BUFFER_EMPTY;
    for (size_t i = 0; i < LONGEST; i++)
        buffer_add(&buffer, &(char){(char)('a' + i % 26)}, 1);
    assert_int_equal(buffer.length, LONGEST);
    for (size_t i = 0; i < LONGEST; i++)
        assert_int_equal(buffer.data[i], 'a' + (int)(i % 26));
    assert_int_equal(buffer.data[LONGEST], '\0');
}

static void test_reserved_room_is_there(void **state)
{
    (void)state;
    cleanup_buffer struct buffer buffer = BUFFER_EMPTY;
    buffer_add_text(&buffer, "begun");
    char *room = buffer_reserve(&buffer, LONGEST);
    memset(room, 'y', LONGEST);
    room[LONGEST] = '\0';
    assert_int_equal(buffer.length, 5);
    assert_int_equal(strlen(buffer.data), 5 + LONGEST);
}

static void test_equal_are_those_with_the_same_bytes(void **state)
{
    (void)state;
    cleanup_buffer struct buffer one = BUFFER_EMPTY;
    cleanup_buffer struct buffer other = BUFFER_EMPTY;
    assert_true(buffer_equals(&one, &other));
    buffer_add(&one, "a\0b", 3);
    assert_false(buffer_equals(&one, &other));
    buffer_add(&other, "a\0c", 3);
    assert_false(buffer_equals(&one, &other));
    other.data[2] = 'b';
    assert_true(buffer_equals(&one, &other));
    buffer_add_text(&other, "b");
    assert_false(buffer_equals(&one, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_one_is_an_empty_text),
        cmocka_unit_test(test_formats_fit_at_every_length),
        cmocka_unit_test(test_bytes_are_added_one_by_one),
        cmocka_unit_test(test_reserved_room_is_there),
        cmocka_unit_test(test_equal_are_those_with_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
