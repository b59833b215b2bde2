/* SPDX-License-Identifier: Apache-2.0 */
/* agent.yaml key by key. An operator reads the same in debian/agent.yaml. */
#include "schema/config_keys.h"

#include "schema/cleanup.h"
#include "schema/config.h"
#include "schema/config_lists.h"
#include "schema/text_rules.h"

#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define YEAR   (365 * DAY)

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

#define AT(field) offsetof(struct config, field)

#define TEXT(path, field, standard, kind) \
    { \
        path, &yaml_text, AT(field), standard, \
        { \
            .text = &(kind) \
        } \
    }
#define ONE_OF(path, type, field, standard, list) \
    { \
        path, &(type), AT(field), standard, \
        { \
            .words = (list) \
        } \
    }
#define BETWEEN(path, type, field, standard, least, most) \
    { \
        path, &(type), AT(field), standard, \
        { \
            .bounds = { least, most } \
        } \
    }
#define CHOICE(path, field, standard, list) ONE_OF(path, yaml_choice, field, standard, list)
#define ENUM(path, field, standard, list)   ONE_OF(path, yaml_enum, field, standard, list)
#define COUNT(path, field, standard, least, most) \
    BETWEEN(path, yaml_count, field, standard, least, most)
#define DURATION(path, field, standard, least, most) \
    BETWEEN(path, yaml_duration, field, standard, least, most)
#define SPECIAL(path, type, field, standard) \
    { \
        path, &(type), AT(field), standard, \
        { \
            .text = NULL \
        } \
    }

/* clang-format off */
static const struct yaml_key keys[] = {
    TEXT    ("host_id",                       host_id,                       "",         rule_host_id),

    TEXT    ("local_api.bridge",              local_api.bridge,              "vmbr0",    rule_interface),
    SPECIAL ("local_api.listen",              config_listen,   local_api.listen, ""),
    SPECIAL ("local_api.allow",               config_networks, local_api.allow,  NULL),
    ENUM    ("local_api.source_binding",      local_api.source_binding,      "auto",     bindings),

    ENUM    ("hook.on_error",                 hook.on_error,                 "continue", reactions),
    DURATION("hook.deadline",                 hook.deadline_ms,              "5s",       SECOND, HOUR),

    COUNT   ("limits.threads",                limits.threads,                "256",      4, 4096),
    COUNT   ("limits.connections_per_source", limits.connections_per_source, "8",        1, 4096),
    COUNT   ("limits.requests_per_source",    limits.requests_per_source,    "50",       1, 1000000),
    COUNT   ("limits.failures_per_source",    limits.failures_per_source,    "20",       1, 1000000),
    DURATION("limits.handshake",              limits.handshake_ms,           "2s",       SECOND, HOUR),
    DURATION("limits.request",                limits.request_ms,             "5s",       SECOND, HOUR),

    DURATION("token.overlap",                 token.overlap_ms,              "5m",       0, DAY),
    DURATION("token.max_age",                 token.max_age_ms,              "0",        0, 100 * YEAR),

    TEXT    ("bootstrap.guest_path",          bootstrap.guest_path, "/etc/felhom-bootstrap", rule_mount_path),
    ENUM    ("bootstrap.schema",              bootstrap.schema,              "spike",    bootstrap_schemas),

    TEXT    ("controller.image",              controller.image,              "",         rule_word),
    TEXT    ("controller.template",           controller.template_file, "/etc/felhom-agent/controller.yaml", rule_path),
    TEXT    ("controller.guest_path",         controller.guest_path, "/opt/docker/felhom-controller/controller.yaml", rule_path),

    TEXT    ("hub.url",                       hub.url,                       "",         rule_url),
    TEXT    ("hub.api_key_file",              hub.api_key_file,              "",         rule_path),
    DURATION("hub.poll",                      hub.poll_ms,                   "15m",      SECOND, 365 * DAY),
    TEXT    ("hub.ca_file",                   hub.ca_file,                   "",         rule_path),

    ENUM    ("registry.mode",                 registry.mode,                 "none",     registry_modes),
    TEXT    ("registry.host",                 registry.host,                 "",         rule_authority),
    TEXT    ("registry.username",             registry.username,             "",         rule_word),
    TEXT    ("registry.secret_file",          registry.secret_file,          "",         rule_path),

    TEXT    ("pve.endpoint",                  pve.endpoint, "https://127.0.0.1:8006",        rule_https),
    TEXT    ("pve.token_file",                pve.token_file, "/etc/felhom-agent/pve.token", rule_path),
    TEXT    ("pve.ca_file",                   pve.ca_file, "/etc/pve/pve-root-ca.pem",       rule_path),

    TEXT    ("backup.storage",                backup.storage,                "local",    rule_storage),
    CHOICE  ("backup.mode",                   backup.mode,                   "snapshot", backup_modes),
    CHOICE  ("backup.compress",               backup.compress,               "zstd",     compressions),
    DURATION("backup.max_age",                backup.max_age_ms,             "24h",      0, 100 * YEAR),
    TEXT    ("backup.window",                 backup.window,                 "",         rule_window),

    SPECIAL ("storage_classes",               config_classes, storage_classes, NULL),

    TEXT    ("paths.state",                   paths.state,     "/var/lib/felhom-agent",      rule_path),
    TEXT    ("paths.guests",                  paths.guests,    "/run/felhom-agent/guests",   rule_mount_path),
    TEXT    ("paths.export",                  paths.export,    "/run/felhom-agent/export",   rule_mount_path),
    TEXT    ("paths.run",                     paths.run,       "/run/felhom-agent",          rule_path),
    TEXT    ("paths.pve",                     paths.pve,       "/etc/pve",                   rule_path),
    TEXT    ("paths.enrolment",               paths.enrolment, "/etc/pve/priv/felhom",       rule_path),
    TEXT    ("paths.cgroup",                  paths.cgroup,    "/sys/fs/cgroup",             rule_path),
};
/* clang-format on */

const struct yaml_table config_table = {keys, ARRAY_SIZE(keys)};
