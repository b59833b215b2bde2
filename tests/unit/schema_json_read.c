/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/json/json.h"

#include <string.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "tests/unit/test.h"

static struct error error;

static json_t *read_bytes(const char *text, size_t length)
{
    json_t *value = NULL;
    if (json_read(text, length, &value, &error) < 0)
        fail_test("%.*s: %s", (int)(length < 80 ? length : 80), text, error.message);
    return value;
}

static void assert_read(const char *text, const char *compact)
{
    cleanup_buffer struct buffer written = BUFFER_EMPTY;
    cleanup_json json_t *value = read_bytes(text, strlen(text));
    json_write(value, JSON_COMPACT | JSON_ENCODE_ANY, &written);
    assert_string_equal(buffer_text(&written), compact);
}

static void assert_bytes_refused(const char *text, size_t length, const char *beginning)
{
    static json_t untouched;
    json_t *value = &untouched;
    error = (struct error){0};
    if (json_read(text, length, &value, &error) == 0)
        fail_test("taken: %s", text);
    assert_ptr_equal(value, &untouched);
    assert_int_equal(error.kind, ERROR_INVALID);
    if (strncmp(error.message, beginning, strlen(beginning)) != 0)
        fail_test("%s: \"%s\", not \"%s\"", text, error.message, beginning);
}

static void assert_refused(const char *text)
{
    assert_bytes_refused(text, strlen(text), "not JSON: line ");
}

static void repeat(struct buffer *buffer, const char *text, size_t times)
{
    for (size_t i = 0; i < times; i++)
        buffer_add_text(buffer, text);
}

static void test_every_type(void **state)
{
    (void)state;
    assert_read("{\"a\": [1, -2.5, true, false, null, \"\\u00e1\"]}",
                "{\"a\":[1,-2.5,true,false,null,\"\xc3\xa1\"]}");
    assert_read(" \"text\" ", "\"text\"");
    assert_read("0", "0");
    assert_read("[]", "[]");
    assert_read("{}", "{}");
}

static void test_not_json(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",         " ",     "{",       "}",        "]",           "{\"a\":1,}", "{'a':1}",
        "[1 2]",    "{} {}", "[]x",     "\"open",   "\"\\",        "nul",        "NaN",
        "01",       "[}",    "{]",      "\"\xff\"", "\"\\ud800\"", "\"\x01\"",   "\xef\xbb\xbf{}",
        "]]]]]]]]", "-",     "{\"a\"}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        assert_refused(texts[i]);
}

static void test_length_counts(void **state)
{
    (void)state;
    json_decref(read_bytes("[1]garbage", 3));
    assert_bytes_refused("[1, 2]", 5, "not JSON: line 1 column 5: ");
    assert_bytes_refused("[1]\0", 4, "not JSON: line 1 column ");
    assert_bytes_refused("[\0]", 3, "not JSON: line 1 column ");
}

static void test_numbers_beyond_all(void **state)
{
    (void)state;
    assert_refused("99999999999999999999999999");
    assert_refused("-99999999999999999999999999");
    assert_refused("1e9999");
    assert_read("9223372036854775807", "9223372036854775807");
}

static void assert_nesting(const char *open, const char *middle, const char *close, size_t depth,
                           bool fits)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    repeat(&text, open, depth);
    buffer_add_text(&text, middle);
    repeat(&text, close, depth);
    if (fits)
        json_decref(read_bytes(text.data, text.length));
    else
        assert_bytes_refused(text.data, text.length, "JSON nested deeper than 16");
}

static void test_nesting(void **state)
{
    (void)state;
    assert_nesting("[", "", "]", 16, true);
    assert_nesting("[", "", "]", 17, false);
    assert_nesting("{\"a\":", "1", "}", 16, true);
    assert_nesting("{\"a\":", "1", "}", 17, false);
    assert_nesting("[{\"a\":", "1", "}]", 8, true);
    assert_nesting("[{\"a\":", "[]", "}]", 8, false);
    assert_nesting("{\"\\\"\":[", "", "]}", 9, false);
}

static void test_nesting_side_by_side(void **state)
{
    (void)state;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    buffer_add_text(&text, "[0");
    repeat(&text, ",[],{}", 1000);
    buffer_add_text(&text, "]");
    json_decref(read_bytes(text.data, text.length));
}

static void test_brackets_without_end(void **state)
{
    (void)state;
    static const char *const openings[] = {"[", "{\"a\":", "[{\"\":", "[[", " \n["};
    for (size_t i = 0; i < ARRAY_SIZE(openings); i++) {
        cleanup_buffer struct buffer text = BUFFER_EMPTY;
        repeat(&text, openings[i], 65536);
        assert_bytes_refused(text.data, text.length, "JSON nested deeper than 16");
    }
}

/* Closing first does not make room for more. */
static void test_brackets_closed_before(void **state)
{
    (void)state;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    repeat(&text, "]", 65536);
    repeat(&text, "[", 65536);
    assert_bytes_refused(text.data, text.length, "not JSON: line 1 column 1: ");
}

static void test_brackets_in_texts_do_not_count(void **state)
{
    (void)state;
    assert_read("[\"[[[[[[[[[[[[[[[[[[[[[[{{{{{{\"]", "[\"[[[[[[[[[[[[[[[[[[[[[[{{{{{{\"]");
    assert_read("[\"\\\"[[[[[[[[[[[[[[[[[[[[\\\\\"]", "[\"\\\"[[[[[[[[[[[[[[[[[[[[\\\\\"]");
    assert_read("{\"[[[[[[[[[[[[[[[[[[[[\":\"\\\\\"}", "{\"[[[[[[[[[[[[[[[[[[[[\":\"\\\\\"}");
}

/* A text that seems to continue must not hide what follows it. */
static void test_brackets_after_an_escaped_backslash(void **state)
{
    (void)state;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    buffer_add_text(&text, "[\"\\\\\",");
    repeat(&text, "[", 1000);
    assert_bytes_refused(text.data, text.length, "JSON nested deeper than 16");
}

static void test_duplicate_keys(void **state)
{
    (void)state;
    assert_refused("{\"a\":1,\"a\":1}");
    assert_refused("{\"a\":1,\"\\u0061\":2}");
    assert_refused("[{\"b\":{\"a\":1,\"c\":2,\"a\":3}}]");
    assert_read("{\"a\":{\"a\":1},\"A\":2}", "{\"a\":{\"a\":1},\"A\":2}");
}

static void test_nul(void **state)
{
    (void)state;
    assert_refused("{\"a\":\"x\\u0000y\"}");
    assert_refused("{\"a\\u0000b\":1}");
    assert_refused("{\"\\u0000\":1}");
    assert_refused("\"\\u0000\"");
}

/* What jansson quotes comes from the client. */
static void test_message_is_fit_to_be_shown(void **state)
{
    (void)state;
    static const char *const texts[] = {"[\x1b]", "\x07", "{\"a\":\x7f}", "[\"a\nb\"]"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        assert_refused(texts[i]);
        for (const char *c = error.message; *c; c++)
            assert_true((unsigned char)*c >= ' ' && *c != 0x7f);
    }
}

static void test_get(void **state)
{
    (void)state;
    static const char text[] =
        "{\"text\":\"t\",\"empty\":\"\",\"int\":-7,\"real\":1.5,\"null\":null}";
    cleanup_json json_t *object = read_bytes(text, strlen(text));
    assert_string_equal(json_get_text(object, "text", "other"), "t");
    assert_string_equal(json_get_text(object, "empty", "other"), "");
    assert_string_equal(json_get_text(object, "int", "other"), "other");
    assert_string_equal(json_get_text(object, "null", "other"), "other");
    assert_null(json_get_text(object, "none", NULL));
    assert_int_equal(json_get_int(object, "int", 3), -7);
    assert_int_equal(json_get_int(object, "real", 3), 3);
    assert_int_equal(json_get_int(object, "text", 3), 3);
    assert_int_equal(json_get_int(object, "none", 3), 3);
}

static void test_get_from_no_object(void **state)
{
    (void)state;
    cleanup_json json_t *array = read_bytes("[1]", 3);
    assert_string_equal(json_get_text(array, "a", "other"), "other");
    assert_int_equal(json_get_int(array, "a", 3), 3);
    assert_null(json_get_text(NULL, "a", NULL));
    assert_int_equal(json_get_int(NULL, "a", 3), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_not_json),
        cmocka_unit_test(test_length_counts),
        cmocka_unit_test(test_numbers_beyond_all),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_nesting_side_by_side),
        cmocka_unit_test(test_brackets_without_end),
        cmocka_unit_test(test_brackets_closed_before),
        cmocka_unit_test(test_brackets_in_texts_do_not_count),
        cmocka_unit_test(test_brackets_after_an_escaped_backslash),
        cmocka_unit_test(test_duplicate_keys),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_message_is_fit_to_be_shown),
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_get_from_no_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
