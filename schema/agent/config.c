/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/config.h"

#include <string.h>

#include "schema/agent/config_keys.h"
#include "schema/base/cleanup.h"
#include "schema/yaml/keys.h"
#include "schema/yaml/reader.h"

/* Where the file sets a key, else where it sets another one that made the two disagree. */
static const struct yaml_value *blame(const struct yaml_value *root, const char *path,
                                      const char *other)
{
    const struct yaml_value *value = yaml_find(root, path);
    return value ? value : yaml_find(root, other);
}

static int check_limits(const struct config *config, const struct yaml_value *root,
                        struct error *error)
{
    uint32_t threads = config->limits.threads;
    uint32_t connections = config->limits.connections_per_source;
    if (connections <= threads)
        return 0;
    const struct yaml_value *value = blame(root, "limits.connections_per_source", "limits.threads");
    return yaml_refuse(&value->place, "limits.connections_per_source", error,
                       "%u is more than limits.threads, which is %u", connections, threads);
}

static int check_registry(const struct config *config, const struct yaml_value *root,
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
        const struct yaml_value *value = blame(root, needed[i].key, "registry.mode");
        if (!*needed[i].text)
            return yaml_refuse(&value->place, needed[i].key, error,
                               "must be set unless registry.mode is none");
    }
    return 0;
}

static int read_config(const struct yaml_value *root, struct config *config, struct error *error)
{
    if (yaml_table_read(&config_table, root, config, error) || check_limits(config, root, error))
        return -1;
    return check_registry(config, root, error);
}

int config_parse(const char *name, const char *text, size_t length, struct config *ret,
                 struct error *error)
{
    cleanup(yaml_value_free) struct yaml_value root = {.kind = KIND_NOTHING};
    struct config config = {.host_id = NULL};
    if (yaml_read(name, text, length, &root, error))
        return -1;
    if (read_config(&root, &config, error)) {
        config_free(&config);
        return -1;
    }
    *ret = config;
    return 0;
}

void config_salvage(const char *text, size_t length, struct config *ret)
{
    struct error ignored;
    cleanup(yaml_value_free) struct yaml_value root = {.kind = KIND_NOTHING};
    *ret = (struct config){.host_id = NULL};
    (void)yaml_read("agent.yaml", text, length, &root, &ignored);
    yaml_table_salvage(&config_table, &root, ret);
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
