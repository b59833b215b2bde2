/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/yaml/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

struct bad {
    const char *text;
    const char *message;
};

static void expect_n(const char *text, size_t length, const char *message)
{
    struct yaml_tree untouched;
    struct yaml_tree *value = &untouched;
    struct error error = {.kind = ERROR_NONE};
    if (!yaml_settings_load("agent.yaml", text, length, &value, &error))
        fail_msg("accepted: %s", text);
    assert_string_equal(error.message, message);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_ptr_equal(value, &untouched);
}

static void expect_each(const struct bad *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_n(list[i].text, strlen(list[i].text), list[i].message);
}

static const struct yaml_tree *find(const struct yaml_tree *root, const char *path, size_t line,
                                    size_t column)
{
    const struct yaml_tree *value = yaml_find(root, path);
    assert_non_null(value);
    assert_string_equal(value->place.name, "agent.yaml");
    assert_int_equal(value->place.line, line);
    assert_int_equal(value->place.column, column);
    return value;
}

static void every_value_knows_its_place(void **state)
{
    static const char text[] = "\xC3\xB6: \xC3\xB6  # two characters\r\n"
                               "map:\r\n"
                               "  'quoted key' : \"null\"\r\n"
                               "  list: [a, ~,\r\n"
                               "    {b: 7}]\r\n"
                               "empty:\r\n"
                               "ma: 1\r\n";
    struct error error;
    cleanup_yaml_tree struct yaml_tree *root = NULL;
    (void)state;
    assert_int_equal(yaml_settings_load("agent.yaml", text, strlen(text), &root, &error), 0);
    assert_int_equal(yaml_kind_of(root), KIND_MAP);
    assert_int_equal(root->count, 2 * 4);
    assert_string_equal(find(root, "\xC3\xB6", 1, 4)->text, "\xC3\xB6");
    assert_int_equal(yaml_kind_of(find(root, "map.quoted key", 3, 18)), KIND_TEXT);
    const struct yaml_tree *list = find(root, "map.list", 4, 9);
    assert_int_equal(yaml_kind_of(list), KIND_LIST);
    assert_int_equal(list->count, 3);
    assert_int_equal(yaml_kind_of(list->items[1]), KIND_NOTHING);
    assert_int_equal(list->items[1]->place.column, 13);
    assert_int_equal(yaml_kind_of(find(list->items[2], "b", 5, 9)), KIND_TEXT);
    assert_int_equal(root->items[2 * 2]->place.line, 6);
    assert_int_equal(yaml_kind_of(find(root, "empty", 6, 7)), KIND_NOTHING);
}

static void what_is_not_there_is_not_found(void **state)
{
    static const char text[] = "map: {key: [a]}\n";
    struct error error;
    cleanup_yaml_tree struct yaml_tree *root = NULL;
    (void)state;
    assert_null(yaml_find(root, "map"));
    assert_int_equal(yaml_settings_load("agent.yaml", text, strlen(text), &root, &error), 0);
    assert_null(yaml_find(root, "ma"));
    assert_null(yaml_find(root, "map.ke"));
    assert_null(yaml_find(root, "map.key.a"));
    assert_null(yaml_find(root, "key"));
    assert_null(yaml_find(root, ""));
}

static void what_is_no_yaml(void **state)
{
    static const struct bad bad[] = {
        {"hub: {url: ''", "agent.yaml:2:1: while parsing a flow mapping: did not find expected "
                          "',' or '}'"},
        {"hub:\n\turl: ''", "agent.yaml:2:1: while scanning for the next token: found character "
                            "that cannot start any token (a tab: YAML is indented with spaces)"},
        {"a: b: c", "agent.yaml:1:5: mapping values are not allowed in this context"},
        {"host_id: \"a", "agent.yaml:1:12: while scanning a quoted scalar: found unexpected end "
                         "of stream"},
        {"hub:\n  url: \xC3\xB6\xFF", "agent.yaml:2:9: invalid leading UTF-8 octet"},
        {"hub: \xC3", "agent.yaml:1:6: incomplete UTF-8 octet sequence"},
        {"a: \x01", "agent.yaml:1:4: control characters are not allowed"},
        {"host_id: \"a\\0\"", "agent.yaml:1:10: a text cannot hold a NUL character"},
        {"\"a\\0\": 1", "agent.yaml:1:1: a text cannot hold a NUL character"},
    };
    (void)state;
    expect_each(bad, ARRAY_SIZE(bad));
    expect_n("hub:\n\0", 6, "agent.yaml:2:1: control characters are not allowed");
    expect_n("\xFF\xFEh\0", 4, "agent.yaml:1:1: invalid leading UTF-8 octet");
}

static void what_a_settings_file_does_not_need(void **state)
{
    static const struct bad bad[] = {
        {"hub: &a {}", "agent.yaml:1:6: anchors and aliases are not allowed here; write the value "
                       "out"},
        {"host_id: &a x", "agent.yaml:1:10: anchors and aliases are not allowed here; write the "
                          "value out"},
        {"local_api: {allow: &a [10.0.0.0/8]}",
         "agent.yaml:1:20: anchors and aliases are not allowed here; write the value out"},
        {"host_id: *a", "agent.yaml:1:10: anchors and aliases are not allowed here; write the "
                        "value out"},
        {"*a : 1", "agent.yaml:1:1: anchors and aliases are not allowed here; write the value out"},
        {"host_id: !!str x", "agent.yaml:1:10: tags are not allowed here; leave the tag out"},
        {"hub: !x {}", "agent.yaml:1:6: tags are not allowed here; leave the tag out"},
        {"!x []", "agent.yaml:1:1: tags are not allowed here; leave the tag out"},
        {"[a]: 1", "agent.yaml:1:1: a key must be a text"},
        {"? {a: b}\n: 1", "agent.yaml:1:3: a key must be a text"},
        {"{}\n---\n{}\n", "agent.yaml:2:1: there must be only one document in the file"},
        {"---\n---\n", "agent.yaml:2:1: there must be only one document in the file"},
    };
    (void)state;
    expect_each(bad, ARRAY_SIZE(bad));
}

static void depth_has_a_limit(void **state)
{
    char text[200] = "a: ";
    (void)state;
    memset(text + 3, '[', 64);
    expect_n(text, strlen(text), "agent.yaml:1:67: nested deeper than 64 levels");
    memset(text + 3, '[', 63);
    memset(text + 66, ']', 63);
    text[129] = '\0';
    struct error error;
    cleanup_yaml_tree struct yaml_tree *value = NULL;
    assert_int_equal(yaml_settings_load("agent.yaml", text, strlen(text), &value, &error), 0);
}

static void size_has_a_limit(void **state)
{
    size_t limit = 1024 * 1024;
    char *text = mem_new_array(limit + 1, 1);
    (void)state;
    memset(text, '\n', limit + 1);
    struct error error;
    cleanup_yaml_tree struct yaml_tree *value = NULL;
    assert_int_equal(yaml_settings_load("agent.yaml", text, limit, &value, &error), 0);
    assert_int_equal(yaml_kind_of(value), KIND_NOTHING);
    expect_n(text, limit + 1, "agent.yaml:1:1: the document is larger than 1 MiB");
    free(text);
}

static void duplicates(void **state)
{
    static const struct bad bad[] = {
        {"hub: {}\nhook: {}\nhub: {}\n", "agent.yaml:3:1: hub: this key is there twice in the same "
                                         "map, first in line 1: write both as "
                                         "one"},
        {"a: {b: [{c: {}}]}\nx: {b: 1}\nhub: {c: 1, b: 1, 'c': 1}",
         "agent.yaml:3:19: hub.c: this key is there twice in the same map, first in line 3: write "
         "both as "
         "one"},
        {"hub:\n  url: ''\n  'url': ''\n", "agent.yaml:3:3: hub.url: this key is there twice in "
                                           "the same map, first in line 2: write both as "
                                           "one"},
    };
    (void)state;
    expect_each(bad, ARRAY_SIZE(bad));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_knows_its_place),
        cmocka_unit_test(what_is_not_there_is_not_found),
        cmocka_unit_test(what_is_no_yaml),
        cmocka_unit_test(what_a_settings_file_does_not_need),
        cmocka_unit_test(depth_has_a_limit),
        cmocka_unit_test(size_has_a_limit),
        cmocka_unit_test(duplicates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
