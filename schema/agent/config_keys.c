/* SPDX-License-Identifier: Apache-2.0 */
/* agent.yaml key by key. An operator reads the same in debian/agent.yaml. */
#include "schema/agent/config_keys.h"

#include "schema/agent/config.h"
#include "schema/agent/config_lists.h"
#include "schema/agent/text_rules.h"
#include "schema/base/cleanup.h"

#define SECOND  UINT64_C(1000)
#define MINUTE  (60 * SECOND)
#define HOUR    (60 * MINUTE)
#define DAY     (24 * HOUR)
#define YEAR    (365 * DAY)
#define CENTURY (100 * YEAR)

static const char *const bindings[] = {"auto", "require", "off", NULL};
static const char *const reactions[] = {"continue", "block", NULL};
static const char *const bootstrap_schemas[] = {"spike", "felhom.bootstrap/v2", NULL};
static const char *const registry_modes[] = {"none", "static", "gitea", NULL};
static const char *const backup_modes[] = {"snapshot", "suspend", "stop", NULL};
static const char *const compressions[] = {"0", "1", "gzip", "lzo", "zstd", NULL};

_Static_assert(BINDING_OFF == ARRAY_SIZE(bindings) - 2, "one word each");
_Static_assert(ON_ERROR_BLOCK == ARRAY_SIZE(reactions) - 2, "one word each");
_Static_assert(BOOTSTRAP_V2 == ARRAY_SIZE(bootstrap_schemas) - 2, "one word each");
_Static_assert(REGISTRY_GITEA == ARRAY_SIZE(registry_modes) - 2, "one word each");
_Static_assert(sizeof(enum registry_mode) == sizeof(unsigned), "yaml_enum writes an unsigned");

/* TYPE(key, default, what it may be). A field is named like its key, a duration's with _ms. */
/* clang-format off */
#define ROW(path, type, field, standard, ...) \
    {path, &(type), offsetof(struct config, field), standard, {__VA_ARGS__}}
#define TEXT(key, standard, kind)    ROW(#key, yaml_text, key, standard, .text = &(kind))
#define CHOICE(key, standard, list)  ROW(#key, yaml_choice, key, standard, .words = (list))
#define ENUM(key, standard, list)    ROW(#key, yaml_enum, key, standard, .words = (list))
#define COUNT(key, standard, ...)    ROW(#key, yaml_count, key, standard, .bounds = {__VA_ARGS__})
#define DURATION(key, standard, ...) \
    ROW(#key, yaml_duration, key##_ms, standard, .bounds = {__VA_ARGS__})
#define SPECIAL(key, standard, type) ROW(#key, type, key, standard, .text = NULL)

static const struct yaml_key keys[] = {
    TEXT    (host_id,                       "",         rule_host_id),

    TEXT    (local_api.bridge,              "vmbr0",    rule_interface),
    SPECIAL (local_api.listen,              "",         config_listen),
    SPECIAL (local_api.allow,               NULL,       config_networks),
    ENUM    (local_api.source_binding,      "auto",     bindings),

    ENUM    (hook.on_error,                 "continue", reactions),
    DURATION(hook.deadline,                 "5s",       SECOND, HOUR),

    COUNT   (limits.threads,                "256",      4, 4096),
    COUNT   (limits.connections_per_source, "8",        1, 4096),
    COUNT   (limits.requests_per_source,    "50",       1, 1000000),
    COUNT   (limits.failures_per_source,    "20",       1, 1000000),
    DURATION(limits.handshake,              "2s",       SECOND, HOUR),
    DURATION(limits.request,                "5s",       SECOND, HOUR),

    DURATION(token.overlap,                 "5m",       0, DAY),
    DURATION(token.max_age,                 "0",        0, CENTURY),

    TEXT    (bootstrap.guest_path,          "/etc/felhom-bootstrap", rule_mount_path),
    ENUM    (bootstrap.schema,              "spike",    bootstrap_schemas),

    TEXT    (controller.image,              "",         rule_word),
    ROW     ("controller.template", yaml_text, controller.template_file,
             "/etc/felhom-agent/controller.yaml", .text = &rule_path),
    TEXT    (controller.guest_path,         CONFIG_CONTROLLER_PATH, rule_mount_path),

    TEXT    (hub.url,                       "",         rule_url),
    TEXT    (hub.api_key_file,              "",         rule_path),
    DURATION(hub.poll,                      "15m",      SECOND, YEAR),
    TEXT    (hub.ca_file,                   "",         rule_path),

    ENUM    (registry.mode,                 "none",     registry_modes),
    TEXT    (registry.host,                 "",         rule_authority),
    TEXT    (registry.username,             "",         rule_word),
    TEXT    (registry.secret_file,          "",         rule_path),
    TEXT    (registry.ca_file,              "",         rule_path),

    TEXT    (pve.endpoint,                  "https://127.0.0.1:8006", rule_https),
    TEXT    (pve.token_file,                "/etc/felhom-agent/pve.token", rule_path),
    TEXT    (pve.ca_file,                   "/etc/pve/pve-root-ca.pem", rule_path),

    TEXT    (backup.storage,                "local",    rule_storage),
    CHOICE  (backup.mode,                   "snapshot", backup_modes),
    CHOICE  (backup.compress,               "zstd",     compressions),
    DURATION(backup.max_age,                "24h",      0, CENTURY),
    TEXT    (backup.window,                 "",         rule_window),

    TEXT    (restore_test.storage,          "",         rule_storage),
    DURATION(restore_test.every,            "7d",       HOUR, CENTURY),
    DURATION(restore_test.hold,             "5s",       SECOND, HOUR),
    DURATION(restore_test.deadline,         "30m",      MINUTE, DAY),

    SPECIAL (metrics.listen,                "",         config_loopback),
    TEXT    (metrics.textfile,              "",         rule_textfile),

    SPECIAL (storage_classes,               NULL,       config_classes),

    TEXT    (paths.state,                   "/var/lib/felhom-agent", rule_path),
    TEXT    (paths.guests,                  "/run/felhom-agent/guests", rule_mount_path),
    TEXT    (paths.export,                  "/run/felhom-agent/export", rule_mount_path),
    TEXT    (paths.run,                     "/run/felhom-agent", rule_path),
    TEXT    (paths.pve,                     "/etc/pve", rule_path),
    TEXT    (paths.enrolment,               "/etc/pve/priv/felhom", rule_path),
    TEXT    (paths.cgroup,                  "/sys/fs/cgroup", rule_path),
};
/* clang-format on */

const struct yaml_table config_table = {keys, ARRAY_SIZE(keys)};
