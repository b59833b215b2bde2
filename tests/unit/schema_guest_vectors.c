/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of container configurations compared with Proxmox's own parser (pve-container
 * 6.1.10). */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/pve/guest_config.h"
#include "tests/unit/test.h"

/* If the configuration has no hardware address, Proxmox invents one. */
static void drop_random_hwaddrs(json_t *expect, const char *raw)
{
    const char *key;
    json_t *nic;
    json_object_foreach(json_object_get(expect, "nets"), key, nic)
    {
        const char *hwaddr = json_string_value(json_object_get(nic, "hwaddr"));
        if (hwaddr && !strstr(raw, hwaddr))
            (void)json_object_del(nic, "hwaddr");
    }
}

static json_t *read_raw(const char *raw)
{
    struct guest_config config;
    struct error error;
    assert_int_equal(guest_config_parse(GUEST_LXC, raw, strlen(raw), &config, &error), 0);
    json_t *json = guest_config_to_json(&config);
    guest_config_free(&config);
    return json;
}

static void report(const char *file, int line, const json_t *expect, const json_t *actual)
{
    cleanup_free char *wanted = json_dumps(expect, JSON_SORT_KEYS);
    cleanup_free char *got = json_dumps(actual, JSON_SORT_KEYS);
    fail_test("%s:%d:\nwanted %s\ngot    %s", file, line, wanted, got);
}

static void check_vector(const char *file, int line, const char *text)
{
    json_t *vector = json_loads(text, 0, NULL);
    const char *raw = json_string_value(json_object_get(vector, "raw"));
    json_t *expect = json_object_get(vector, "expect");
    assert_non_null(raw);
    drop_random_hwaddrs(expect, raw);
    json_t *actual = read_raw(raw);
    if (!json_equal(expect, actual))
        report(file, line, expect, actual);
    json_decref(actual);
    json_decref(vector);
}

static void check_file(const char *path, int count)
{
    cleanup_file FILE *file = fopen(path, "re");
    cleanup_free char *text = NULL;
    size_t capacity = 0;
    int line = 0;
    assert_non_null(file);
    while (getline(&text, &capacity, file) > 0)
        check_vector(path, ++line, text);
    assert_int_equal(line, count);
}

static void test_common_configurations(void **state)
{
    (void)state;
    check_file("tests/data/pve-lxc-config.jsonl", 60);
}

static void test_nasty_configurations(void **state)
{
    (void)state;
    check_file("tests/data/pve-lxc-config-more.jsonl", 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common_configurations),
        cmocka_unit_test(test_nasty_configurations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
