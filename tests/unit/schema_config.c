/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "schema/buffer.h"
#include "schema/cleanup.h"
#include "schema/config_keys.h"
#include "schema/memory.h"

#define SHIPPED "debian/agent.yaml"

struct bad {
    const char *text;
    const char *message;
};

static struct config parse_n(const char *text, size_t length)
{
    struct config config;
    struct error error = {.kind = ERROR_NONE};
    if (config_parse("agent.yaml", text, length, &config, &error))
        fail_msg("refused: %s", error.message);
    assert_int_equal(error.kind, ERROR_NONE);
    return config;
}

static struct config parse(const char *text)
{
    return parse_n(text, strlen(text));
}

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

/* Every value of a row at once: "key: value" must be refused there with the same why. */
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

static void accept_values(const char *section, const char *key, const char *const *values)
{
    for (; *values; values++) {
        char *text = mem_format("%s: {%s: %s}", section, key, *values);
        struct config config = parse(text);
        config_free(&config);
        free(text);
    }
}

#define VALUES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void expect_defaults(const struct config *config)
{
    assert_string_equal(config->host_id, "");
    assert_string_equal(config->local_api.bridge, "vmbr0");
    assert_false(config->local_api.has_listen);
    assert_int_equal(config->local_api.allow_count, 0);
    assert_int_equal(config->local_api.source_binding, BINDING_AUTO);
    assert_int_equal(config->hook.on_error, ON_ERROR_CONTINUE);
    assert_int_equal(config->hook.deadline_ms, 5000);
    assert_int_equal(config->limits.threads, 256);
    assert_int_equal(config->limits.connections_per_source, 8);
    assert_int_equal(config->limits.requests_per_source, 50);
    assert_int_equal(config->limits.failures_per_source, 20);
    assert_int_equal(config->limits.handshake_ms, 2000);
    assert_int_equal(config->limits.request_ms, 5000);
    assert_int_equal(config->token.overlap_ms, 300000);
    assert_int_equal(config->token.max_age_ms, 0);
    assert_string_equal(config->bootstrap.guest_path, "/etc/felhom-bootstrap");
    assert_int_equal(config->bootstrap.schema, BOOTSTRAP_SPIKE);
    assert_string_equal(config->controller.image, "");
    assert_string_equal(config->controller.template_file, "/etc/felhom-agent/controller.yaml");
    assert_string_equal(config->controller.guest_path,
                        "/opt/docker/felhom-controller/controller.yaml");
    assert_string_equal(config->hub.url, "");
    assert_string_equal(config->hub.api_key_file, "");
    assert_int_equal(config->hub.poll_ms, 900000);
    assert_string_equal(config->hub.ca_file, "");
    assert_int_equal(config->registry.mode, REGISTRY_NONE);
    assert_string_equal(config->registry.host, "");
    assert_string_equal(config->registry.username, "");
    assert_string_equal(config->registry.secret_file, "");
    assert_string_equal(config->pve.endpoint, "https://127.0.0.1:8006");
    assert_string_equal(config->pve.token_file, "/etc/felhom-agent/pve.token");
    assert_string_equal(config->pve.ca_file, "/etc/pve/pve-root-ca.pem");
    assert_string_equal(config->backup.storage, "local");
    assert_string_equal(config->backup.mode, "snapshot");
    assert_string_equal(config->backup.compress, "zstd");
    assert_int_equal(config->backup.max_age_ms, 86400000);
    assert_string_equal(config->backup.window, "");
    assert_int_equal(config->storage_class_count, 0);
    assert_string_equal(config->paths.state, "/var/lib/felhom-agent");
    assert_string_equal(config->paths.guests, "/run/felhom-agent/guests");
    assert_string_equal(config->paths.export, "/run/felhom-agent/export");
    assert_string_equal(config->paths.run, "/run/felhom-agent");
    assert_string_equal(config->paths.pve, "/etc/pve");
    assert_string_equal(config->paths.enrolment, "/etc/pve/priv/felhom");
    assert_string_equal(config->paths.cgroup, "/sys/fs/cgroup");
}

static void nothing_said_is_all_defaults(void **state)
{
    static const char *const empty[] = {
        "",
        "\n\n",
        "# nothing\n  # at all",
        "{}",
        "---\n",
        "---\n...\n",
        "null",
        "~",
        "hub:\n",
        "hub: {}\npaths: ~\nlimits: null\n",
        "local_api: {allow: }\nstorage_classes:\n",
        "\xEF\xBB\xBF# with a byte order mark\n",
        "%YAML 1.1\n---\n{}\n",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(empty); i++) {
        struct config config = parse(empty[i]);
        expect_defaults(&config);
        config_free(&config);
    }
    struct config config = parse_n(NULL, 0);
    expect_defaults(&config);
    config_free(&config);
}

/* --- the file that is shipped
 * ----------------------------------------------------------------------------- */

static bool is_setting(const char *line)
{
    return line[0] == '#' && (islower((unsigned char)line[1]) || !strncmp(line + 1, "  ", 2)) &&
           strchr(line, ':') &&
           strspn(line + 1, " abcdefghijklmnopqrstuvwxyz_") + 1 ==
               (size_t)(strchr(line, ':') - line);
}

static void read_shipped(struct buffer *as_is, struct buffer *uncommented)
{
    cleanup_file FILE *file = fopen(SHIPPED, "re");
    char line[256];
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        buffer_add_text(as_is, line);
        buffer_add_text(uncommented, line + is_setting(line));
    }
}

static void the_shipped_file_is_all_defaults(void **state)
{
    cleanup_buffer struct buffer as_is = BUFFER_EMPTY;
    cleanup_buffer struct buffer uncommented = BUFFER_EMPTY;
    (void)state;
    read_shipped(&as_is, &uncommented);
    struct config config = parse(buffer_text(&as_is));
    expect_defaults(&config);
    config_free(&config);
    config = parse(buffer_text(&uncommented));
    expect_defaults(&config);
    config_free(&config);
}

static void the_shipped_file_has_every_key(void **state)
{
    cleanup_buffer struct buffer as_is = BUFFER_EMPTY;
    cleanup_buffer struct buffer uncommented = BUFFER_EMPTY;
    cleanup(yaml_value_free) struct yaml_value commented = {.kind = KIND_NOTHING};
    cleanup(yaml_value_free) struct yaml_value root = {.kind = KIND_NOTHING};
    struct error error;
    (void)state;
    read_shipped(&as_is, &uncommented);
    assert_int_equal(yaml_read("a", as_is.data, as_is.length, &commented, &error), 0);
    assert_int_equal(yaml_read("a", uncommented.data, uncommented.length, &root, &error), 0);
    for (size_t i = 0; i < config_table.count; i++) {
        const struct yaml_key *key = &config_table.keys[i];
        const struct yaml_value *value = yaml_find(&root, key->path);
        if (!value)
            fail_msg("%s is not in " SHIPPED, key->path);
        if (key->standard)
            assert_string_equal(value->text, key->standard);
        assert_null(yaml_find(&commented, key->path));
    }
}

/* --- values
 * ------------------------------------------------------------------------------------------------
 */

static const char everything[] =
    "host_id: demo-felhom\n"
    "local_api:\n"
    "  bridge: vmbr1\n"
    "  listen: 192.168.0.162:8443\n"
    "  allow: [192.168.0.0/24, 'fd00::/8']\n"
    "  source_binding: require\n"
    "hook: {on_error: block, deadline: 10s}\n"
    "limits: {threads: 64, connections_per_source: '9',\n"
    "  requests_per_source: 51, failures_per_source: 21,\n"
    "  handshake: 3s, request: 1m}\n"
    "token: {overlap: 1h, max_age: 7d}\n"
    "bootstrap: {guest_path: /etc/b, schema: felhom.bootstrap/v2}\n"
    "controller: {image: 'r:5000/c:v1@sha256:0', template: /t y,\n"
    "  guest_path: /c}\n"
    "hub: {url: 'https://hub.example:444/api/', api_key_file: /k,\n"
    "  poll: 1d, ca_file: /ca}\n"
    "registry: {mode: gitea, host: 'git.example:3000',\n"
    "  username: Jörg, secret_file: /s}\n"
    "pve: {endpoint: 'https://[::1]:8006', token_file: /p, ca_file: /q}\n"
    "backup: {storage: pbs-1, mode: stop, compress: 0, max_age: 0,\n"
    "  window: '22:00-05:30'}\n"
    "storage_classes: {local-lvm: fast, usb.backup: 1}\n"
    "paths: {state: /1, guests: /2, export: /3, run: /4, pve: /5,\n"
    "  enrolment: /6, cgroup: /..7}\n";

static void expect_everything_but_paths(const struct config *config)
{
    assert_string_equal(config->host_id, "demo-felhom");
    assert_string_equal(config->local_api.bridge, "vmbr1");
    assert_true(config->local_api.has_listen);
    assert_int_equal(config->local_api.listen.sin_addr.s_addr, inet_addr("192.168.0.162"));
    assert_int_equal(ntohs(config->local_api.listen.sin_port), 8443);
    assert_int_equal(config->local_api.allow_count, 2);
    assert_int_equal(config->local_api.allow[0].prefix, 24);
    assert_int_equal(config->local_api.allow[1].family, AF_INET6);
    assert_int_equal(config->local_api.source_binding, BINDING_REQUIRE);
    assert_int_equal(config->hook.on_error, ON_ERROR_BLOCK);
    assert_int_equal(config->hook.deadline_ms, 10000);
    assert_int_equal(config->limits.threads, 64);
    assert_int_equal(config->limits.connections_per_source, 9);
    assert_int_equal(config->limits.requests_per_source, 51);
    assert_int_equal(config->limits.failures_per_source, 21);
    assert_int_equal(config->limits.handshake_ms, 3000);
    assert_int_equal(config->limits.request_ms, 60000);
    assert_int_equal(config->token.overlap_ms, 3600000);
    assert_int_equal(config->token.max_age_ms, 604800000);
    assert_int_equal(config->bootstrap.schema, BOOTSTRAP_V2);
    assert_string_equal(config->controller.image, "r:5000/c:v1@sha256:0");
    assert_string_equal(config->controller.template_file, "/t y");
    assert_string_equal(config->hub.url, "https://hub.example:444/api/");
    assert_int_equal(config->hub.poll_ms, 86400000);
    assert_int_equal(config->registry.mode, REGISTRY_GITEA);
    assert_string_equal(config->registry.host, "git.example:3000");
    assert_string_equal(config->registry.username, "Jörg");
    assert_string_equal(config->pve.endpoint, "https://[::1]:8006");
    assert_string_equal(config->backup.storage, "pbs-1");
    assert_string_equal(config->backup.mode, "stop");
    assert_string_equal(config->backup.compress, "0");
    assert_int_equal(config->backup.max_age_ms, 0);
    assert_string_equal(config->backup.window, "22:00-05:30");
}

static void expect_paths(const struct config *config)
{
    assert_string_equal(config->bootstrap.guest_path, "/etc/b");
    assert_string_equal(config->controller.guest_path, "/c");
    assert_string_equal(config->hub.api_key_file, "/k");
    assert_string_equal(config->hub.ca_file, "/ca");
    assert_string_equal(config->registry.secret_file, "/s");
    assert_string_equal(config->pve.token_file, "/p");
    assert_string_equal(config->pve.ca_file, "/q");
    assert_string_equal(config->paths.state, "/1");
    assert_string_equal(config->paths.guests, "/2");
    assert_string_equal(config->paths.export, "/3");
    assert_string_equal(config->paths.run, "/4");
    assert_string_equal(config->paths.pve, "/5");
    assert_string_equal(config->paths.enrolment, "/6");
    assert_string_equal(config->paths.cgroup, "/..7");
}

static void every_key_is_read(void **state)
{
    struct config config = parse(everything);
    (void)state;
    expect_everything_but_paths(&config);
    expect_paths(&config);
    assert_string_equal(config_storage_class(&config, "local-lvm"), "fast");
    assert_string_equal(config_storage_class(&config, "usb.backup"), "1");
    assert_string_equal(config_storage_class(&config, "local"), "");
    config_free(&config);
    assert_null(config.host_id);
    assert_int_equal(config.storage_class_count, 0);
}

static void values_at_their_bounds(void **state)
{
    (void)state;
    accept_values("local_api", "bridge", VALUES("br-0.100", "abcdefghijklmno"));
    accept_values("local_api", "listen", VALUES("''", "0.0.0.0:1"));
    accept_values("local_api", "allow", VALUES("[]", "[10.0.0.1]", "['::/0', 0.0.0.0/0]"));
    accept_values("local_api", "source_binding", VALUES("auto", "require", "off", "'off'"));
    accept_values("hook", "deadline", VALUES("1s", "60m", "1h", "01s"));
    accept_values("limits", "threads", VALUES("8", "4096", "'300'"));
    accept_values("limits", "connections_per_source", VALUES("1", "256"));
    accept_values("limits", "requests_per_source", VALUES("1", "1000000"));
    accept_values("token", "overlap", VALUES("0", "0s", "24h"));
    accept_values("token", "max_age", VALUES("0", "36500d", "3153600000s"));
    accept_values("bootstrap", "guest_path", VALUES("/a", "/a/b-c_d.e+f@g", "/...", "/.a/b."));
    accept_values("hub", "url", VALUES("''", "http://h", "https://h:1/x/y", "'http://[::1]:80/'"));
    accept_values("registry", "host", VALUES("''", "h", "'h:65535'", "10.0.0.1", "'[fe80::1]'"));
    accept_values("pve", "endpoint", VALUES("https://pve1", "'https://pve1:8006'"));
    accept_values("backup", "storage", VALUES("ab", "a-_.9"));
    accept_values("backup", "window", VALUES("''", "'00:00-23:59'", "23:59-00:00", "20:00-20:01"));
    accept_values("storage_classes", "local", VALUES("fast", "très-vite", "1"));
}

#define PATH_RULE "must be an absolute path without . or .. in it, // or a / at its end"

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
    refuse_values("hook", "deadline", "must be from 1s to 3600s", VALUES("0", "0s", "3601s", "2h"));
    refuse_values("local_api", "listen", "must be A.B.C.D:PORT, with a port from 1 to 65535",
                  VALUES("8443", "192.168.0.162", "'[::1]:8443'", "host:8443"));
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
         "agent.yaml:1:32: storage_classes.local: this key is there twice in the same map"},
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

#define KNOWN_AT_THE_TOP \
    "unknown key; known at the top: host_id, local_api, hook, limits, token, bootstrap, " \
    "controller, hub, registry, pve, backup, storage_classes, paths"

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

static void duplicates(void **state)
{
    static const struct bad bad[] = {
        {"hub: {}\nhook: {}\nhub: {}\n",
         "agent.yaml:3:1: hub: this key is there twice in the same map"},
        {"hub:\n  url: ''\n  'url': ''\n",
         "agent.yaml:3:3: hub.url: this key is there twice in the same map"},
    };
    (void)state;
    expect_each(bad, ARRAY_SIZE(bad));
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
    accept_values("limits", "threads", VALUES("4, connections_per_source: 4"));
    accept_values("registry", "mode",
                  VALUES("none, host: h", "static, host: h, username: u, "
                                          "secret_file: /s"));
}

/* --- YAML itself
 * --------------------------------------------------------------------------------------------- */

static void what_is_no_yaml(void **state)
{
    static const struct bad bad[] = {
        {"hub: {url: ''", "agent.yaml:2:1: while parsing a flow mapping: did not find expected "
                          "',' or '}'"},
        {"hub:\n\turl: ''", "agent.yaml:2:1: while scanning for the next token: found character "
                            "that cannot start any token"},
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
    expect_n(text, strlen(text), "agent.yaml:1:67: nested too deeply");
    memset(text + 3, '[', 63);
    memset(text + 66, ']', 63);
    text[129] = '\0';
    expect_n(text, strlen(text), "agent.yaml:1:1: a: " KNOWN_AT_THE_TOP);
}

static void size_has_a_limit(void **state)
{
    size_t limit = 1024 * 1024;
    char *text = mem_new_array(limit + 1, 1);
    (void)state;
    memset(text, '\n', limit + 1);
    struct config config = parse_n(text, limit);
    config_free(&config);
    expect_n(text, limit + 1, "agent.yaml:1:1: the document is larger than 1 MiB");
    free(text);
}

static void texts_have_limits(void **state)
{
    char *name = mem_new_array(254, 1);
    char *text;
    (void)state;
    memset(name, 'h', 253);
    text = mem_format("host_id: %s", name);
    struct config config = parse(text);
    assert_string_equal(config.host_id, name);
    config_free(&config);
    free(text);
    text = mem_format("host_id: %sh", name);
    expect_n(text, strlen(text), "agent.yaml:1:10: host_id: must not be longer than 253 bytes");
    free(text);
    free(name);
}

static void durations(void **state)
{
    uint64_t ms = 7;
    (void)state;
    assert_false(duration_parse("", &ms));
    assert_false(duration_parse("3153600001s", &ms));
    assert_false(duration_parse("1sm", &ms));
    assert_int_equal(ms, 7);
    assert_true(duration_parse("90m", &ms));
    assert_int_equal(ms, 5400000);
    assert_true(duration_parse("0d", &ms) && ms == 0);
    assert_true(duration_parse("36500d", &ms));
    assert_int_equal(ms, UINT64_C(3153600000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_said_is_all_defaults),
        cmocka_unit_test(the_shipped_file_is_all_defaults),
        cmocka_unit_test(the_shipped_file_has_every_key),
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(values_at_their_bounds),
        cmocka_unit_test(bad_texts),
        cmocka_unit_test(bad_numbers),
        cmocka_unit_test(bad_lists),
        cmocka_unit_test(wrong_types),
        cmocka_unit_test(unknown_keys),
        cmocka_unit_test(a_long_unknown_key_is_cut),
        cmocka_unit_test(duplicates),
        cmocka_unit_test(keys_that_must_agree),
        cmocka_unit_test(what_is_no_yaml),
        cmocka_unit_test(what_a_settings_file_does_not_need),
        cmocka_unit_test(depth_has_a_limit),
        cmocka_unit_test(size_has_a_limit),
        cmocka_unit_test(texts_have_limits),
        cmocka_unit_test(durations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
