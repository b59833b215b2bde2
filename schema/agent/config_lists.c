/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/config_lists.h"

#include <stdlib.h>

#include "schema/agent/config.h"
#include "schema/agent/text_rules.h"
#include "schema/base/address.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

static int read_listen(const struct yaml_key *key, const struct yaml_value *value, void *document,
                       struct error *error)
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

static int read_loopback(const struct yaml_key *key, const struct yaml_value *value, void *document,
                         struct error *error)
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

static int read_network(const struct yaml_key *key, const struct yaml_value *value,
                        struct cidr *network, struct error *error)
{
    char meant[CIDR_TEXT_SIZE];
    struct cidr masked;
    if (value->kind != KIND_TEXT)
        return yaml_refuse(&value->place, key->path, error,
                           "each item must be a text, such as 192.168.0.0/24, not %s",
                           yaml_kind_name(value->kind));
    if (cidr_parse(value->text, network))
        return 0;
    if (!cidr_parse_host(value->text, &masked))
        return yaml_refuse(&value->place, key->path, error,
                           "each item must be ADDRESS or ADDRESS/PREFIX, such as 192.168.0.0/24");
    cidr_format(&masked, meant);
    return yaml_refuse(&value->place, key->path, error,
                       "names a host, not a network; did you mean %s?", meant);
}

static int read_networks(const struct yaml_key *key, const struct yaml_value *value, void *document,
                         struct error *error)
{
    struct config *config = document;
    config->local_api.allow = mem_new_array(value->count, sizeof *config->local_api.allow);
    config->local_api.allow_count = value->count;
    for (size_t i = 0; i < value->count; i++)
        if (read_network(key, &value->entries[i].value, &config->local_api.allow[i], error))
            return -1;
    return 0;
}

static void release_networks(const struct yaml_key *key, void *document)
{
    struct config *config = document;
    (void)key;
    free(config->local_api.allow);
    config->local_api.allow = NULL;
    config->local_api.allow_count = 0;
}

static int check_class(const struct yaml_entry *entry, const char *path, struct error *error)
{
    const struct yaml_value *class = &entry->value;
    if (yaml_text_check(&rule_storage, entry->key, error))
        return yaml_refuse(&entry->key_place, path, error, "%s", error->message);
    if (class->kind != KIND_TEXT)
        return yaml_refuse(&class->place, path, error, "must be a text, not %s",
                           yaml_kind_name(class->kind));
    if (yaml_text_check(&rule_word, class->text, error))
        return yaml_refuse(&class->place, path, error, "%s", error->message);
    return 0;
}

static int read_class(const struct yaml_key *key, const struct yaml_entry *entry,
                      struct storage_class *class, struct error *error)
{
    cleanup_free char *path = mem_format("%s.%s", key->path, entry->key);
    if (check_class(entry, path, error))
        return -1;
    class->storage = mem_copy_text(entry->key);
    class->name = mem_copy_text(entry->value.text);
    return 0;
}

static int read_classes(const struct yaml_key *key, const struct yaml_value *value, void *document,
                        struct error *error)
{
    struct config *config = document;
    config->storage_classes = mem_new_array(value->count, sizeof *config->storage_classes);
    config->storage_class_count = value->count;
    for (size_t i = 0; i < value->count; i++)
        if (read_class(key, &value->entries[i], &config->storage_classes[i], error))
            return -1;
    return 0;
}

static void release_classes(const struct yaml_key *key, void *document)
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

const struct yaml_type config_listen = {KIND_TEXT, read_listen, NULL};
const struct yaml_type config_loopback = {KIND_TEXT, read_loopback, NULL};
const struct yaml_type config_networks = {KIND_LIST, read_networks, release_networks};
const struct yaml_type config_classes = {KIND_MAP, read_classes, release_classes};
