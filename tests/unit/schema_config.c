/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/config.h"
#include "schema/base/units.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

#define SHIPPED "debian/agent.yaml"

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
    assert_int_equal(config->hook.deadline_ms, 20000);
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
    assert_string_equal(config->registry.ca_file, "");
    assert_string_equal(config->pve.endpoint, "https://127.0.0.1:8006");
    assert_string_equal(config->pve.token_file, "/etc/felhom-agent/pve.token");
    assert_string_equal(config->pve.ca_file, "/etc/pve/pve-root-ca.pem");
    assert_int_equal(config->quota.snapshots, 10);
    assert_int_equal(config->quota.snapshot_interval_ms, 60000);
    assert_int_equal(config->quota.backup_interval_ms, 600000);
    assert_string_equal(config->backup.storage, "local");
    assert_string_equal(config->backup.mode, "snapshot");
    assert_string_equal(config->backup.compress, "zstd");
    assert_int_equal(config->backup.max_age_ms, 86400000);
    assert_string_equal(config->backup.window, "");
    assert_false(config->metrics.has_listen);
    assert_string_equal(config->metrics.textfile, "");
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
    cleanup_yaml_tree struct yaml_tree *commented = NULL;
    cleanup_yaml_tree struct yaml_tree *root = NULL;
    struct error error;
    (void)state;
    read_shipped(&as_is, &uncommented);
    assert_int_equal(yaml_settings_load("a", as_is.data, as_is.length, &commented, &error), 0);
    assert_int_equal(yaml_settings_load("a", uncommented.data, uncommented.length, &root, &error),
                     0);
    for (size_t i = 0; i < config_table.count; i++) {
        const struct yaml_key *key = &config_table.keys[i];
        const struct yaml_tree *value = yaml_find(root, key->path);
        if (!value)
            fail_msg("%s is not in " SHIPPED, key->path);
        if (key->standard)
            assert_string_equal(value->text, key->standard);
        assert_null(yaml_find(commented, key->path));
    }
}

static const char everything[] =
    "host_id: demo-felhom\n"
    "local_api:\n"
    "  bridge: vmbr1\n"
    "  listen: 192.168.0.162:8443\n"
    "  allow: [192.168.0.0/24, 'fd00::/8']\n"
    "  source_binding: require\n"
    "  routers: [8300, 8400]\n"
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
    "  username: Jörg, secret_file: /s, ca_file: /rc}\n"
    "pve: {endpoint: 'https://[::1]:8006', token_file: /p, ca_file: /q}\n"
    "quota: {snapshots: 0, snapshot_interval: 0, backup_interval: 1h}\n"
    "backup: {storage: pbs-1, mode: stop, compress: 0, max_age: 0,\n"
    "  window: '22:00-05:30'}\n"
    "metrics: {listen: 127.0.0.1:9221, textfile: /t/felhom.prom}\n"
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
    assert_int_equal(config->local_api.routers.count, 2);
    assert_int_equal(config->local_api.routers.items[1], 8400);
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
    assert_int_equal(config->quota.snapshots, 0);
    assert_int_equal(config->quota.snapshot_interval_ms, 0);
    assert_int_equal(config->quota.backup_interval_ms, 3600000);
    assert_string_equal(config->backup.storage, "pbs-1");
    assert_string_equal(config->backup.mode, "stop");
    assert_string_equal(config->backup.compress, "0");
    assert_int_equal(config->backup.max_age_ms, 0);
    assert_string_equal(config->backup.window, "22:00-05:30");
    assert_true(config->metrics.has_listen);
    assert_int_equal(config->metrics.listen.sin_addr.s_addr, inet_addr("127.0.0.1"));
    assert_int_equal(ntohs(config->metrics.listen.sin_port), 9221);
    assert_string_equal(config->metrics.textfile, "/t/felhom.prom");
}

static void expect_paths(const struct config *config)
{
    assert_string_equal(config->bootstrap.guest_path, "/etc/b");
    assert_string_equal(config->controller.guest_path, "/c");
    assert_string_equal(config->hub.api_key_file, "/k");
    assert_string_equal(config->hub.ca_file, "/ca");
    assert_string_equal(config->registry.secret_file, "/s");
    assert_string_equal(config->registry.ca_file, "/rc");
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
    accept_values("local_api", "routers", VALUES("[]", "[100]", "[8200, '999999999']"));
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
    accept_values("metrics", "listen", VALUES("''", "127.0.0.1:1", "127.255.255.254:65535"));
    accept_values("metrics", "textfile", VALUES("''", "/a.prom", "/a b/c.d.prom"));
    accept_values("storage_classes", "local", VALUES("fast", "très-vite", "1"));
    accept_values("limits", "threads", VALUES("4, connections_per_source: 4"));
    accept_values("registry", "mode",
                  VALUES("none, host: h", "static, host: h, username: u, "
                                          "secret_file: /s"));
}

static void durations_are_written_as_they_are_read(void **state)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } rows[] = {{0, "0"},         {999, "0"},        {1000, "1s"},
                {90000, "90s"},   {3600000, "1h"},   {5400000, "90m"},
                {86400000, "1d"}, {90000000, "25h"}, {UINT64_C(3153600000000), "36500d"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t again;
        cleanup_free char *text = duration_format(rows[i].ms);
        assert_string_equal(text, rows[i].text);
        assert_true(duration_parse(text, &again));
        assert_int_equal(again, rows[i].ms / 1000 * 1000);
    }
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
        cmocka_unit_test(durations),
        cmocka_unit_test(durations_are_written_as_they_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
