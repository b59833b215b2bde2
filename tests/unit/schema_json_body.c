/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/json/json.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "tests/unit/test.h"

enum { NAME, DESCRIPTION, COUNT };

static const struct json_body_key keys[COUNT] = {
    [NAME] = {"name", true, 8},
    [DESCRIPTION] = {"description", false, 100},
};

static const struct json_body_key optional_keys[COUNT] = {
    [NAME] = {"name", false, 8},
    [DESCRIPTION] = {"description", false, 100},
};

static char *values[COUNT];

static int free_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        free(steal(values[i]));
    return 0;
}

static void parse(const char *text, const struct json_body_key *wanted)
{
    struct error error = {0};
    if (json_body_parse(text, strlen(text), wanted, COUNT, values, &error) < 0)
        fail_test("%s: %s", text, error.message);
}

static void assert_refused(const char *text, const char *message)
{
    char left = 0;
    struct error error = {0};
    for (size_t i = 0; i < COUNT; i++)
        values[i] = &left;
    int result = json_body_parse(text, strlen(text), keys, COUNT, values, &error);
    for (size_t i = 0; i < COUNT; i++) {
        const char *value = steal(values[i]);
        assert_null(value);
    }
    assert_int_equal(result, -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_string_equal(error.message, message);
}

static void test_all_keys(void **state)
{
    (void)state;
    parse("{\"description\": \"before the \\\"upgrade\\\" \xc3\xa1\", \"name\": \"12345678\"}",
          keys);
    assert_string_equal(values[NAME], "12345678");
    assert_string_equal(values[DESCRIPTION], "before the \"upgrade\" \xc3\xa1");
}

static void test_optional_key(void **state)
{
    (void)state;
    parse("{\"name\":\"\"}", keys);
    assert_string_equal(values[NAME], "");
    assert_null(values[DESCRIPTION]);
}

static void test_empty_body(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(json_body_parse(NULL, 0, optional_keys, COUNT, values, &error), 0);
    assert_null(values[NAME]);
    assert_null(values[DESCRIPTION]);
    parse("{}", optional_keys);
    assert_null(values[NAME]);
    assert_refused("", "name: is missing");
}

static void test_no_keys(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(json_body_parse("{}", 2, NULL, 0, NULL, &error), 0);
    assert_int_equal(json_body_parse("", 0, NULL, 0, NULL, &error), 0);
    assert_int_equal(json_body_parse("{\"a\":\"\"}", 8, NULL, 0, NULL, &error), -1);
    assert_string_equal(error.message, "a: unknown key");
}

static void test_required_key_is_missing(void **state)
{
    (void)state;
    assert_refused("{}", "name: is missing");
    assert_refused("{\"description\":\"x\"}", "name: is missing");
}

static void test_unknown_keys(void **state)
{
    (void)state;
    assert_refused("{\"name\":\"x\",\"vmstate\":\"1\"}", "vmstate: unknown key");
    assert_refused("{\"Name\":\"x\"}", "Name: unknown key");
    assert_refused("{\"\":\"x\"}", ": unknown key");
    assert_refused("{\"a\\u001b[31m\\u007fb\\nc\":\"x\"}", "a?[31m?b?c: unknown key");
}

static void test_long_unknown_key_is_cut(void **state)
{
    (void)state;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    struct error error = {0};
    buffer_add_text(&text, "{\"");
    for (size_t i = 0; i < 10000; i++)
        buffer_add_text(&text, "k");
    buffer_add_text(&text, "\":1}");
    assert_int_equal(json_body_parse(text.data, text.length, keys, COUNT, values, &error), -1);
    assert_true(strlen(error.message) < 80);
    assert_non_null(strstr(error.message, "kkk...: unknown key"));
}

static void test_wrong_types(void **state)
{
    (void)state;
    static const char *const wrong[] = {"1", "1.5", "true", "false", "null", "[]", "{}", "[\"x\"]"};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        cleanup_free char *text = mem_format("{\"name\":%s}", wrong[i]);
        assert_refused(text, "name: must be a text");
    }
}

static void test_no_object(void **state)
{
    (void)state;
    static const char *const wrong[] = {"[]",   "\"name\"", "1",
                                        "null", "true",     "[{\"name\":\"x\"}]"};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_refused(wrong[i], "the body must be a JSON object");
}

static void test_too_long(void **state)
{
    (void)state;
    assert_refused("{\"name\":\"123456789\"}", "name: longer than 8 bytes");
    /* The limit counts bytes, not characters. */
    assert_refused("{\"name\":\"\xc3\xa1\xc3\xa1\xc3\xa1\xc3\xa1\xc3\xa1\"}",
                   "name: longer than 8 bytes");
    assert_refused("{\"name\":\"\\u00e1\\u00e1\\u00e1\\u00e1\\u00e1\"}",
                   "name: longer than 8 bytes");
}

static void test_control_characters(void **state)
{
    (void)state;
    static const char *const wrong[] = {"\\n", "\\r", "\\t", "\\u0001", "\\u001f", "\\u007f"};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        cleanup_free char *text = mem_format("{\"name\":\"a%sb\"}", wrong[i]);
        assert_refused(text, "name: has a control character");
    }
}

static void assert_not_json(const char *text)
{
    struct error error = {0};
    values[NAME] = values[DESCRIPTION] = NULL;
    if (json_body_parse(text, strlen(text), keys, COUNT, values, &error) == 0)
        fail_test("taken: %s", text);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_memory_equal(error.message, "not JSON: ", strlen("not JSON: "));
    assert_null(values[NAME]);
}

static void test_not_json(void **state)
{
    (void)state;
    assert_not_json(" ");
    assert_not_json("name=x");
    assert_not_json("{\"name\":\"x\"");
    assert_not_json("{\"name\":\"x\"}{");
    assert_not_json("{\"name\":\"x\",\"name\":\"y\"}");
    assert_not_json("{\"name\":\"x\\u0000y\"}");
    assert_not_json("{\"name\\u0000\":\"x\"}");
}

static void test_nesting(void **state)
{
    (void)state;
    assert_refused("{\"name\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}", "JSON nested deeper than 16");
    assert_refused("{\"name\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}", "name: must be a text");
}

#define BODY_TEST(name) cmocka_unit_test_teardown(name, free_values)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BODY_TEST(test_all_keys),
        BODY_TEST(test_optional_key),
        BODY_TEST(test_empty_body),
        BODY_TEST(test_no_keys),
        BODY_TEST(test_required_key_is_missing),
        BODY_TEST(test_unknown_keys),
        BODY_TEST(test_long_unknown_key_is_cut),
        BODY_TEST(test_wrong_types),
        BODY_TEST(test_no_object),
        BODY_TEST(test_too_long),
        BODY_TEST(test_control_characters),
        BODY_TEST(test_not_json),
        BODY_TEST(test_nesting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
