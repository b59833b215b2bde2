/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/config.h"

#include <stdlib.h>
#include <string.h>

#include "schema/agent/text_rules.h"
#include "schema/base/address.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "schema/yaml/keys.h"
#include "schema/yaml/tree.h"

/* --- value types that only agent.yaml has; most fill more than one field of struct config --- */

static int config_read_listen(const struct yaml_key *key, const struct yaml_tree *value,
                              void *document, struct error *error)
{
    struct config *config = document;
    if (!*value->text) {
        config->local_api.has_listen = false;
        return 0;
    }
    if (!endpoint_parse(value->text, &config->local_api.listen))
        return yaml_refuse(&value->place, key->path, error,
                           "must be A.B.C.D:PORT, with a port from 1 to 65535");
    config->local_api.has_listen = true;
    return 0;
}

static int config_read_loopback(const struct yaml_key *key, const struct yaml_tree *value,
                                void *document, struct error *error)
{
    struct config *config = document;
    struct sockaddr_in address;
    config->metrics.has_listen = *value->text != '\0';
    if (!config->metrics.has_listen)
        return 0;
    if (!endpoint_parse(value->text, &address) ||
        ntohl(address.sin_addr.s_addr) >> IN_CLASSA_NSHIFT != IN_LOOPBACKNET)
        return yaml_refuse(&value->place, key->path, error,
                           "must be an address of the loopback and a port, such as "
                           "127.0.0.1:9221");
    config->metrics.listen = address;
    return 0;
}

static int config_read_network(const struct yaml_key *key, const struct yaml_tree *value,
                               struct cidr *network, struct error *error)
{
    char meant[CIDR_TEXT_SIZE];
    struct cidr masked;
    if (yaml_kind_of(value) != KIND_TEXT)
        return yaml_refuse(&value->place, key->path, error,
                           "each item must be a text, such as 192.168.0.0/24, not %s",
                           yaml_kind_name(yaml_kind_of(value)));
    if (cidr_parse(value->text, network))
        return 0;
    if (!cidr_parse_host(value->text, &masked))
        return yaml_refuse(&value->place, key->path, error,
                           "each item must be ADDRESS or ADDRESS/PREFIX, such as 192.168.0.0/24");
    cidr_format(&masked, meant);
    return yaml_refuse(&value->place, key->path, error,
                       "names a host, not a network; did you mean %s?", meant);
}

static int config_read_networks(const struct yaml_key *key, const struct yaml_tree *value,
                                void *document, struct error *error)
{
    struct config *config = document;
    config->local_api.allow = mem_new_array(value->count, sizeof *config->local_api.allow);
    config->local_api.allow_count = value->count;
    for (size_t i = 0; i < value->count; i++)
        if (config_read_network(key, value->items[i], &config->local_api.allow[i], error))
            return -1;
    return 0;
}

/* local_api.routers: a list of VMIDs. */
static int config_read_vmids(const struct yaml_key *key, const struct yaml_tree *value,
                             void *document, struct error *error)
{
    struct config *config = document;
    for (size_t i = 0; i < value->count; i++) {
        const struct yaml_tree *item = value->items[i];
        uint32_t vmid;
        if (yaml_kind_of(item) != KIND_TEXT || !vmid_parse(item->text, &vmid))
            return yaml_refuse(&item->place, key->path, error, "each item must be a VMID");
        vmids_add(&config->local_api.routers, vmid);
    }
    return 0;
}

static void config_release_vmids(const struct yaml_key *key, void *document)
{
    struct config *config = document;
    (void)key;
    vmids_free(&config->local_api.routers);
}

static void config_release_networks(const struct yaml_key *key, void *document)
{
    struct config *config = document;
    (void)key;
    free(config->local_api.allow);
    config->local_api.allow = NULL;
    config->local_api.allow_count = 0;
}

static int storage_class_check(const struct yaml_tree *storage, const struct yaml_tree *class,
                               const char *path, struct error *error)
{
    if (yaml_text_check(&rule_storage, storage->text, error))
        return yaml_refuse(&storage->place, path, error, "%s", error->message);
    if (yaml_kind_of(class) != KIND_TEXT)
        return yaml_refuse(&class->place, path, error, "must be a text, not %s",
                           yaml_kind_name(yaml_kind_of(class)));
    if (yaml_text_check(&rule_word, class->text, error))
        return yaml_refuse(&class->place, path, error, "%s", error->message);
    return 0;
}

static int storage_class_read(const struct yaml_key *key, struct yaml_tree *const pair[static 2],
                              struct storage_class *class, struct error *error)
{
    cleanup_free char *path = mem_format("%s.%s", key->path, pair[0]->text);
    if (storage_class_check(pair[0], pair[1], path, error))
        return -1;
    class->storage = mem_copy_text(pair[0]->text);
    class->name = mem_copy_text(pair[1]->text);
    return 0;
}

static int config_read_classes(const struct yaml_key *key, const struct yaml_tree *value,
                               void *document, struct error *error)
{
    struct config *config = document;
    size_t count = value->count / 2;
    config->storage_classes = mem_new_array(count, sizeof *config->storage_classes);
    config->storage_class_count = count;
    for (size_t i = 0; i < count; i++)
        if (storage_class_read(key, &value->items[2 * i], &config->storage_classes[i], error))
            return -1;
    return 0;
}

static void config_release_classes(const struct yaml_key *key, void *document)
{
    struct config *config = document;
    (void)key;
    for (size_t i = 0; i < config->storage_class_count; i++) {
        free(config->storage_classes[i].storage);
        free(config->storage_classes[i].name);
    }
    free(config->storage_classes);
    config->storage_classes = NULL;
    config->storage_class_count = 0;
}

/* local_api.listen: A.B.C.D:PORT, or "" for none. */
static const struct yaml_type config_listen = {KIND_TEXT, config_read_listen, NULL};
/* metrics.listen: 127.X.Y.Z:PORT, or "" for none. */
static const struct yaml_type config_loopback = {KIND_TEXT, config_read_loopback, NULL};
/* local_api.allow: a list of networks. */
static const struct yaml_type config_networks = {KIND_LIST, config_read_networks,
                                                 config_release_networks};
/* local_api.routers: a list of guests. */
static const struct yaml_type config_vmids = {KIND_LIST, config_read_vmids, config_release_vmids};
/* storage_classes: a map of storages to classes. */
static const struct yaml_type config_classes = {KIND_MAP, config_read_classes,
                                                config_release_classes};

/* --- the keys of agent.yaml; debian/agent.yaml describes them to the operator --- */

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
_Static_assert(sizeof(enum registry_mode) == sizeof(int), "yaml_enum writes an int");

/* TYPE(key, default, allowed values). Each field has its key's name, durations with _ms
 * appended. */
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
    SPECIAL (local_api.routers,             NULL,       config_vmids),

    COUNT   (quota.snapshots,               "10",       0, QUOTA_SNAPSHOTS_MOST),
    DURATION(quota.snapshot_interval,       "1m",       0, CENTURY_MS),
    DURATION(quota.backup_interval,         "10m",      0, CENTURY_MS),

    ENUM    (hook.on_error,                 "continue", reactions),
    DURATION(hook.deadline,                 "20s",      SECOND_MS, HOUR_MS),

    COUNT   (limits.threads,                "256",      4, 4096),
    COUNT   (limits.connections_per_source, "8",        1, 4096),
    COUNT   (limits.requests_per_source,    "50",       1, 1000000),
    COUNT   (limits.failures_per_source,    "20",       1, 1000000),
    DURATION(limits.handshake,              "2s",       SECOND_MS, HOUR_MS),
    DURATION(limits.request,                "5s",       SECOND_MS, HOUR_MS),

    DURATION(token.overlap,                 "5m",       0, DAY_MS),
    DURATION(token.max_age,                 "0",        0, CENTURY_MS),

    TEXT    (bootstrap.guest_path,          "/etc/felhom-bootstrap", rule_mount_path),
    ENUM    (bootstrap.schema,              "spike",    bootstrap_schemas),

    TEXT    (controller.image,              "",         rule_word),
    ROW     ("controller.template", yaml_text, controller.template_file,
             "/etc/felhom-agent/controller.yaml", .text = &rule_path),
    TEXT    (controller.guest_path,         CONFIG_CONTROLLER_PATH, rule_mount_path),

    TEXT    (hub.url,                       "",         rule_url),
    TEXT    (hub.api_key_file,              "",         rule_path),
    DURATION(hub.poll,                      "15m",      SECOND_MS, YEAR_MS),
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
    DURATION(backup.max_age,                "24h",      0, CENTURY_MS),
    TEXT    (backup.window,                 "",         rule_window),

    TEXT    (restore_test.storage,          "",         rule_storage),
    DURATION(restore_test.every,            "7d",       HOUR_MS, CENTURY_MS),
    DURATION(restore_test.hold,             "5s",       SECOND_MS, HOUR_MS),
    DURATION(restore_test.deadline,         "30m",      MINUTE_MS, DAY_MS),

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

/* Returns the value to name in a message about two keys that disagree: the one at path if the file
 * sets it, otherwise the one at other. */
static const struct yaml_tree *value_to_blame(const struct yaml_tree *root, const char *path,
                                              const char *other)
{
    const struct yaml_tree *value = yaml_find(root, path);
    return value ? value : yaml_find(root, other);
}

static int config_check_limits(const struct config *config, const struct yaml_tree *root,
                               struct error *error)
{
    uint32_t threads = config->limits.threads;
    uint32_t connections = config->limits.connections_per_source;
    if (connections <= threads)
        return 0;
    const struct yaml_tree *value =
        value_to_blame(root, "limits.connections_per_source", "limits.threads");
    return yaml_refuse(&value->place, "limits.connections_per_source", error,
                       "%u is more than limits.threads, which is %u", connections, threads);
}

static int config_check_registry(const struct config *config, const struct yaml_tree *root,
                                 struct error *error)
{
    const struct {
        const char *key;
        const char *text;
    } needed[] = {
        {"registry.host", config->registry.host},
        {"registry.username", config->registry.username},
        {"registry.secret_file", config->registry.secret_file},
    };
    if (config->registry.mode == REGISTRY_NONE)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        const struct yaml_tree *value = value_to_blame(root, needed[i].key, "registry.mode");
        if (!*needed[i].text)
            return yaml_refuse(&value->place, needed[i].key, error,
                               "must be set unless registry.mode is none");
    }
    return 0;
}

int config_parse(const char *name, const char *text, size_t length, struct config *ret,
                 struct error *error)
{
    cleanup_yaml_tree struct yaml_tree *root = NULL;
    cleanup(config_free) struct config config = {.host_id = NULL};
    if (yaml_settings_load(name, text, length, &root, error) ||
        yaml_table_read(&config_table, root, &config, error) ||
        config_check_limits(&config, root, error) || config_check_registry(&config, root, error))
        return -1;
    *ret = steal(config);
    return 0;
}

void config_salvage(const char *text, size_t length, struct config *ret)
{
    cleanup_yaml_tree struct yaml_tree *root = NULL;
    *ret = (struct config){.host_id = NULL};
    yaml_settings_load_part(text, length, &root);
    yaml_table_salvage(&config_table, root, ret);
}

void config_free(struct config *config)
{
    yaml_table_free(&config_table, config);
}

const char *config_storage_class(const struct config *config, const char *storage)
{
    for (size_t i = 0; i < config->storage_class_count; i++)
        if (!strcmp(config->storage_classes[i].storage, storage))
            return config->storage_classes[i].name;
    return "";
}
