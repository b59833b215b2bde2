/* SPDX-License-Identifier: Apache-2.0 */
/* What agent.yaml may not contain, and the messages about it. */
#include "schema/agent/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

#define PATH_RULE "must be an absolute path without . or .. in it, // or a / at its end"

#define KNOWN_AT_THE_TOP \
    "unknown key; known at the top: host_id, local_api, quota, hook, limits, token, bootstrap, " \
    "controller, hub, registry, pve, backup, restore_test, metrics, storage_classes, paths"

#define VALUES(...) ((const char *const[]){__VA_ARGS__, NULL})

struct bad {
    const char *text;
    const char *message;
};

static void expect_n(const char *text, size_t length, const char *message)
{
    struct config config;
    struct error error = {.kind = ERROR_NONE};
    memset(&config, 0x5A, sizeof config);
    struct config before = config;
    if (!config_parse("agent.yaml", text, length, &config, &error))
        fail_msg("accepted: %s", text);
    assert_string_equal(error.message, message);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_memory_equal(&config, &before, sizeof config);
}

static void expect_each(const struct bad *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_n(list[i].text, strlen(list[i].text), list[i].message);
}

/* Each "key: value" of a row must be refused at that place for the same reason. */
static void refuse_values(const char *section, const char *key, const char *why,
                          const char *const *values)
{
    for (; *values; values++) {
        char *text = mem_format("%s:\n  %s: %s\n", section, key, *values);
        char *message =
            mem_format("agent.yaml:2:%zu: %s.%s: %s", strlen(key) + 5, section, key, why);
        expect_n(text, strlen(text), message);
        free(text);
        free(message);
    }
}

static void bad_texts(void **state)
{
    (void)state;
    refuse_values("local_api", "bridge", "must be the name of a network interface",
                  VALUES("''", "a/b", "'a b'", "'a:0'", "..", ".", "\"a\\tb\""));
    refuse_values("local_api", "bridge", "must not be longer than 15 bytes",
                  VALUES("abcdefghijklmnop"));
    refuse_values("paths", "state", PATH_RULE,
                  VALUES("''", "a", "a/b", "/", "/a/", "//a", "/a//b", "/a/./b", "/a/..", "/a/../b",
                         "/..", "/.", "'./a'", "\"/a\\n\"", "\"/a\\x1b[2J\""));
    refuse_values("bootstrap", "guest_path",
                  "must be an absolute path of letters, digits and / - _ . + @, without . or .. in "
                  "it, // or a / at its end",
                  VALUES("'/a b'", "'/a,ro=0'", "'/a#'", "/a/", "'/a:b'", "/\xC3\xB6"));
    refuse_values("controller", "image", "must be one word without blanks or control characters",
                  VALUES("'a b'", "\"a\\n\"", "\"a\\x7f\"", "|\n    a"));
    refuse_values(
        "hub", "url",
        "must be http://HOST[:PORT][/PATH] or https://..., without a user name or a query",
        VALUES("hub.example", "ftp://h", "'http://'", "'https://:1'", "'http://u:p@h/'",
               "'http://h/?q'", "'http://h/#f'", "'http://h /'", "'http://h:0'",
               "'http://h:65536/'", "'http://[::1/'", "'http://h]'", "'http://-h'"));
    refuse_values("pve", "endpoint", "must be https://HOST:PORT and nothing more",
                  VALUES("''", "http://127.0.0.1:8006", "'https://h:8006/'", "'https://h:x'"));
    refuse_values("registry", "host", "must be HOST or HOST:PORT",
                  VALUES("https://h", "h/path", "'h:'", "'a b'"));
    refuse_values("backup", "storage",
                  "must be a storage's id: letters, digits, - _ and ., with a letter in front",
                  VALUES("''", "a", "1a", "a-", "'a b'", "'a:b'"));
    refuse_values("backup", "window",
                  "must be HH:MM-HH:MM, from 00:00 to 23:59, with two different times",
                  VALUES("24:00-01:00", "'1:00-02:00'", "00:60-01:00", "00:00-00:00", "00:00",
                         "00:00 01:00", "00:00-01:0x", "30:00-01:00", "00:00-01:000", "'00:00-'"));
    refuse_values("hook", "on_error", "must be continue or block", VALUES("Block", "''", "1"));
    refuse_values("local_api", "source_binding", "must be auto, require or off", VALUES("no"));
    refuse_values("backup", "compress", "must be 0, 1, gzip, lzo or zstd", VALUES("2", "xz", "''"));
}

static void bad_numbers(void **state)
{
    static const char why[] = "must be a duration: digits and one of s m h d, such as 30s or 24h";
    (void)state;
    refuse_values("limits", "threads", "must be a number from 4 to 4096",
                  VALUES("3", "4097", "-8", "+8", "0x10", "010", "8.0", "8k", "''", "many", "'8 '",
                         "4294967300", "18446744073709551620"));
    refuse_values("hook", "deadline", why,
                  VALUES("5", "s", "5 s", "-5s", "5ms", "5S", "1.5s", "''", "00", "99999999999s",
                         "36501d", "9999999999d"));
    refuse_values("token", "max_age",
                  "must be a duration: digits and one of s m h d, such as 30s or 24h, or 0",
                  VALUES("5", "''", "00", "36501d"));
    refuse_values("quota", "snapshot_interval",
                  "must be a duration: digits and one of s m h d, such as 30s or 24h, or 0",
                  VALUES("5", "none"));
    refuse_values("hook", "deadline", "must be from 1s to 3600s", VALUES("0", "0s", "3601s", "2h"));
    refuse_values("local_api", "listen", "must be A.B.C.D:PORT, with a port from 1 to 65535",
                  VALUES("8443", "192.168.0.162", "'[::1]:8443'", "host:8443"));
    refuse_values("metrics", "listen",
                  "must be an address of the loopback and a port, such as 127.0.0.1:9221",
                  VALUES("9221", "127.0.0.1", "0.0.0.0:9221", "192.168.0.162:9221",
                         "128.0.0.1:9221", "126.255.255.255:9221", "'[::1]:9221'", "localhost:9221",
                         "127.0.0.1:0"));
    refuse_values("metrics", "textfile",
                  "must be an absolute path of a file whose name ends in .prom",
                  VALUES("felhom.prom", "/felhom", "/felhom.prom/x", "/.prom", "/a/.prom", ".prom",
                         "/a/../b.prom", "/a.prom/"));
}

static void bad_lists(void **state)
{
    static const struct bad bad[] = {
        {"local_api:\n  allow: [10.0.0.0/8, 192.168.0.7/24]",
         "agent.yaml:2:23: local_api.allow: names a host, not a network; did you mean "
         "192.168.0.0/24?"},
        {"local_api:\n  allow:\n    - fd00::1/64\n",
         "agent.yaml:3:7: local_api.allow: names a host, not a network; did you mean fd00::/64?"},
        {"local_api: {allow: [everybody]}", "agent.yaml:1:21: local_api.allow: each item must be "
                                            "ADDRESS or ADDRESS/PREFIX, such as 192.168.0.0/24"},
        {"local_api: {allow: [10.0.0.0/8, [10.0.0.0/8]]}",
         "agent.yaml:1:33: local_api.allow: each item must be a text, such as 192.168.0.0/24, not "
         "a list"},
        {"local_api: {allow: 10.0.0.0/8}",
         "agent.yaml:1:20: local_api.allow: must be a list, not a text"},
        {"local_api: {allow: {}}", "agent.yaml:1:20: local_api.allow: must be a list, not a map"},
        {"local_api:\n  routers: [99]",
         "agent.yaml:2:13: local_api.routers: each item must be a VMID"},
        {"local_api: {routers: [8300, x]}",
         "agent.yaml:1:29: local_api.routers: each item must be a VMID"},
        {"local_api: {routers: [[8300]]}",
         "agent.yaml:1:23: local_api.routers: each item must be a VMID"},
        {"storage_classes: [a]", "agent.yaml:1:18: storage_classes: must be a map, not a list"},
        {"storage_classes:\n  local: fast\n  usb: \n",
         "agent.yaml:3:7: storage_classes.usb: must be a text, not nothing"},
        {"storage_classes: {local: [fast]}",
         "agent.yaml:1:26: storage_classes.local: must be a text, not a list"},
        {"storage_classes: {local: ''}", "agent.yaml:1:26: storage_classes.local: must be one word "
                                         "without blanks or control characters"},
        {"storage_classes: {'a b': fast}",
         "agent.yaml:1:19: storage_classes.a b: must be a storage's id: letters, digits, - _ and "
         "., with a letter in front"},
        {"storage_classes: {local: fast, local: slow}",
         "agent.yaml:1:32: storage_classes.local: this key is there twice in the same map, first "
         "in line 1: write both as "
         "one"},
    };
    (void)state;
    expect_each(bad, ARRAY_SIZE(bad));
}

static void wrong_types(void **state)
{
    static const struct bad bad[] = {
        {"[]", "agent.yaml:1:1: must be a map, not a list"},
        {"\n text", "agent.yaml:2:2: must be a map, not a text"},
        {"hub: https://h", "agent.yaml:1:6: hub: must be a map, not a text"},
        {"hub: []", "agent.yaml:1:6: hub: must be a map, not a list"},
        {"host_id:\n", "agent.yaml:1:9: host_id: must be a text, not nothing"},
        {"host_id: ~\n", "agent.yaml:1:10: host_id: must be a text, not nothing"},
        {"host_id: {}", "agent.yaml:1:10: host_id: must be a text, not a map"},
        {"hub:\n  url: [a]", "agent.yaml:2:8: hub.url: must be a text, not a list"},
        {"limits: {threads: {}}", "agent.yaml:1:19: limits.threads: must be a text, not a map"},
        {"limits: {threads: null}", "agent.yaml:1:19: limits.threads: must be a text, not nothing"},
    };
    (void)state;
    expect_each(bad, ARRAY_SIZE(bad));
}

static void unknown_keys(void **state)
{
    static const struct bad bad[] = {
        {"surprise: 1", "agent.yaml:1:1: surprise: " KNOWN_AT_THE_TOP},
        {"'': 1", "agent.yaml:1:1: : " KNOWN_AT_THE_TOP},
        {"limits.threads: 5", "agent.yaml:1:1: limits.threads: " KNOWN_AT_THE_TOP},
        {"<<: {hub: {}}", "agent.yaml:1:1: <<: " KNOWN_AT_THE_TOP},
        {"hub:\n  token: a", "agent.yaml:2:3: hub.token: unknown key; known there: url, "
                             "api_key_file, poll, ca_file"},
        {"limits:\n  thread: 5",
         "agent.yaml:2:3: limits.thread: unknown key; did you mean limits.threads?"},
        {"limit: {}", "agent.yaml:1:1: limit: unknown key; did you mean limits?"},
        {"Hub: {}", "agent.yaml:1:1: Hub: unknown key; did you mean hub?"},
        {"hsot_id: a", "agent.yaml:1:1: hsot_id: unknown key; did you mean host_id?"},
        {"threads: 5", "agent.yaml:1:1: threads: unknown key; did you mean limits.threads?"},
        {"hub: {template: /a}",
         "agent.yaml:1:7: hub.template: unknown key; did you mean controller.template?"},
        {"hub: {url.x: a}", "agent.yaml:1:7: hub.url.x: unknown key; did you mean hub.url?"},
        {"\"a\\e[2J\xC3\xB6\\n\": 1", "agent.yaml:1:1: a?[2J???: " KNOWN_AT_THE_TOP},
    };
    (void)state;
    expect_each(bad, ARRAY_SIZE(bad));
}

static void a_long_unknown_key_is_cut(void **state)
{
    char text[2000];
    char message[600];
    (void)state;
    memset(text, 'x', sizeof text);
    memcpy(text + sizeof text - 4, ": 1", 4);
    (void)snprintf(message, sizeof message, "agent.yaml:1:1: %.63s: %s", text, KNOWN_AT_THE_TOP);
    text[1000] = '\0'; /* longer than 1024 would be no YAML key */
    memcpy(text + 996, ": 1", 4);
    expect_n(text, strlen(text), message);
}

static void keys_that_must_agree(void **state)
{
    static const struct bad bad[] = {
        {"limits:\n  threads: 64\n  connections_per_source: 65\n",
         "agent.yaml:3:27: limits.connections_per_source: 65 is more than limits.threads, which is "
         "64"},
        {"limits:\n  connections_per_source: 257\n",
         "agent.yaml:2:27: limits.connections_per_source: 257 is more than limits.threads, which "
         "is 256"},
        {"limits: {threads: 4}", "agent.yaml:1:19: limits.connections_per_source: 8 is more than "
                                 "limits.threads, which is 4"},
        {"registry: {mode: static}",
         "agent.yaml:1:18: registry.host: must be set unless registry.mode is none"},
        {"registry: {mode: gitea, host: h, username: ''}",
         "agent.yaml:1:44: registry.username: must be set unless registry.mode is none"},
        {"registry: {mode: gitea, host: h, username: u}",
         "agent.yaml:1:18: registry.secret_file: must be set unless registry.mode is none"},
    };
    (void)state;
    expect_each(bad, ARRAY_SIZE(bad));
}

static void texts_have_limits(void **state)
{
    char *name = mem_new_array(254, 1);
    char *text;
    (void)state;
    memset(name, 'h', 253);
    text = mem_format("host_id: %s", name);
    struct config config;
    struct error error;
    assert_int_equal(config_parse("agent.yaml", text, strlen(text), &config, &error), 0);
    assert_string_equal(config.host_id, name);
    config_free(&config);
    free(text);
    text = mem_format("host_id: %sh", name);
    expect_n(text, strlen(text), "agent.yaml:1:10: host_id: must not be longer than 253 bytes");
    free(text);
    free(name);
}

static struct config salvaged(const char *text)
{
    struct config config;
    struct error error;
    assert_int_equal(config_parse("agent.yaml", text, strlen(text), &config, &error), -1);
    config_salvage(text, strlen(text), &config);
    return config;
}

static void what_is_good_in_a_bad_one_can_be_had(void **state)
{
    (void)state;
    struct config config = salvaged("surprise: 1\n"
                                    "hook: {on_error: block, deadline: never, surprise: 2}\n"
                                    "limits: 7\n"
                                    "host_id: [a]\n"
                                    "storage_classes: {a b: c}\n"
                                    "paths: {pve: /a, enrolment: /b, state: c}\n");
    assert_int_equal(config.hook.on_error, ON_ERROR_BLOCK);
    assert_int_equal(config.hook.deadline_ms, 20000);
    assert_int_equal(config.limits.threads, 256);
    assert_string_equal(config.host_id, "");
    assert_string_equal(config.paths.pve, "/a");
    assert_string_equal(config.paths.enrolment, "/b");
    assert_string_equal(config.paths.state, "/var/lib/felhom-agent");
    config_free(&config);
}

static void what_stands_before_a_mistake_can_be_had(void **state)
{
    static const char *const mistakes[] = {
        "\"",
        "nonsense: [",
        "a:\n\tb: 1",
        "paths: {state: /b}",

        "hub: &a {url: ''}",
        "hub: {url: '', url: ''}",
        "hub: {}\n--- {}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++) {
        cleanup_free char *text =
            mem_format("paths: {pve: /a}\nlocal_api:\n  allow: [10.0.0.0/8]\n%s\n", mistakes[i]);
        struct config config = salvaged(text);
        assert_string_equal(config.paths.pve, "/a");
        assert_string_equal(config.paths.state, "/var/lib/felhom-agent");
        assert_int_equal(config.local_api.allow_count, 1);
        config_free(&config);
    }
}

/* Half a list of networks would let in others than the whole. */
static void half_a_list_is_not_had(void **state)
{
    (void)state;
    struct config config = salvaged("paths: {pve: /a}\nlocal_api: {allow: [10.0.0.0/8, &b 1]}\n");
    assert_string_equal(config.paths.pve, "/a");
    assert_int_equal(config.local_api.allow_count, 0);
    config_free(&config);
}

static void nothing_can_be_had_of_what_is_no_yaml(void **state)
{
    static const char *const texts[] = {"\"\npaths: {pve: /a}", "- a", "paths: &a {pve: /a}"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct config config = salvaged(texts[i]);
        assert_string_equal(config.paths.pve, "/etc/pve");
        config_free(&config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_texts),
        cmocka_unit_test(bad_numbers),
        cmocka_unit_test(bad_lists),
        cmocka_unit_test(wrong_types),
        cmocka_unit_test(unknown_keys),
        cmocka_unit_test(a_long_unknown_key_is_cut),
        cmocka_unit_test(keys_that_must_agree),
        cmocka_unit_test(texts_have_limits),
        cmocka_unit_test(what_is_good_in_a_bad_one_can_be_had),
        cmocka_unit_test(nothing_can_be_had_of_what_is_no_yaml),
        cmocka_unit_test(what_stands_before_a_mistake_can_be_had),
        cmocka_unit_test(half_a_list_is_not_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
