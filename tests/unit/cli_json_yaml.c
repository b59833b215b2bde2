/* SPDX-License-Identifier: Apache-2.0 */
/* JSON values as YAML: every text stays a text. */
#include <string.h>

#include "cli/base/output.h"
#include "tests/unit/test.h"

static void assert_yaml(const char *json, const char *expected)
{
    struct error error;
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    cleanup_yaml_tree struct yaml_tree *tree = output_to_yaml(value);
    assert_int_equal(yaml_tree_emit(tree, &out, &error), 0);
    assert_string_equal(buffer_text(&out), expected);
    json_decref(value);
}

static void collections(void **state)
{
    (void)state;
    assert_yaml("{\"vmid\": 8200, \"mounts\": [{\"key\": \"rootfs\"}, {}], \"nics\": []}",
                "vmid: 8200\nmounts:\n- key: \"rootfs\"\n- {}\nnics: []\n");
    assert_yaml("[1, null, true, -5]", "- 1\n- null\n- true\n- -5\n");
}

static void texts_stay_texts(void **state)
{
    (void)state;
    assert_yaml("{\"a\": \"yes\", \"b\": \"8200\", \"c\": \"\", \"d\": \"null\"}",
                "a: \"yes\"\nb: \"8200\"\nc: \"\"\nd: \"null\"\n");
    assert_yaml("{\"a\": \"w\\u001b[2Jb\\n: #\"}", "a: \"w\\e[2Jb\\n: #\"\n");
}

static void keys_stay_texts(void **state)
{
    (void)state;
    assert_yaml("{\"on\": 1, \"lxc.cap\": 2, \"\": 3, \"1\": 4, \"at_1\": 5}",
                "\"on\": 1\n\"lxc.cap\": 2\n\"\": 3\n\"1\": 4\nat_1: 5\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collections),
        cmocka_unit_test(texts_stay_texts),
        cmocka_unit_test(keys_stay_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
