/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/guest_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/json/json.h"
#include "schema/pve/guest_setting.h"

/* Proxmox represents numbers above 64 bits as doubles and writes 15 digits of them. */
static json_t *size_json(const char *text)
{
    long double bytes;
    char digits[32];
    if (!guest_size_parse(text, &bytes))
        return json_null();
    if (bytes <= (long double)INT64_MAX)
        return json_integer((json_int_t)bytes);
    if (bytes <= (long double)UINT64_MAX)
        return json_real((double)bytes);
    (void)snprintf(digits, sizeof digits, "%.15g", (double)bytes);
    return json_real(strtod(digits, NULL));
}

/* Converts "u:0:100000:1" to ["u", "0", "100000", "1"]. */
static json_t *idmap_entry_json(char *entry)
{
    json_t *fields = json_array();
    for (char *field; (field = strsep(&entry, ":"));)
        json_append(fields, json_text(field));
    return fields;
}

static json_t *idmap_json(const char *text)
{
    if (strcmp(text, "passthrough") == 0)
        return json_text(text);
    json_t *entries = json_array();
    cleanup_free char *copy = mem_copy_text(text);
    char *rest = copy;
    for (char *entry; (entry = strsep(&rest, ";"));)
        json_append(entries, idmap_entry_json(entry));
    return entries;
}

/* Proxmox's parser of property strings turns booleans into numbers and leaves numbers as
 * strings. */
static json_t *property_json(const struct property *property, const struct property_schema *schema)
{
    const struct property_rule *rule = property_schema_find(schema, property->key);
    if (rule && rule->type == PROPERTY_BOOLEAN)
        return json_integer(strcmp(property->value, "1") == 0);
    return json_text(property->value);
}

static json_t *properties_json(const struct property *properties, size_t count,
                               const struct property_schema *schema)
{
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++)
        json_set(object, properties[i].key, property_json(&properties[i], schema));
    return object;
}

static void property_refine(json_t *object, const char *key, json_t *(*make)(const char *))
{
    const char *text = json_string_value(json_object_get(object, key));
    if (text)
        json_set(object, key, make(text));
}

static json_t *volume_json(const struct volume *volume, const struct property_schema *schema)
{
    static const char *const kinds[] = {
        [VOLUME_STORAGE] = "volume",
        [VOLUME_BIND] = "bind",
        [VOLUME_DEVICE] = "device",
    };
    json_t *object = properties_json(volume->properties, volume->property_count, schema);
    property_refine(object, "size", size_json);
    property_refine(object, "idmap", idmap_json);
    json_set(object, "type", json_string(kinds[volume->kind]));
    if (*volume->mount_point)
        json_set(object, "mp", json_text(volume->mount_point));
    return object;
}

static json_t *volumes_json(const struct guest_config *config)
{
    json_t *volumes = json_object();
    for (size_t i = 0; i < config->volume_count; i++) {
        const struct volume *volume = &config->volumes[i];
        const struct guest_setting_rule *rule = guest_setting_find(config->kind, volume->key);
        json_set(volumes, volume->key, volume_json(volume, rule->schema));
    }
    return volumes;
}

static json_t *nics_json(const struct guest_config *config)
{
    const struct property_schema *schema =
        config->kind == GUEST_LXC ? &lxc_nic_schema : &qemu_nic_schema;
    json_t *nics = json_object();
    for (size_t i = 0; i < config->nic_count; i++) {
        const struct nic *nic = &config->nics[i];
        if (nic->raw)
            continue; /* Proxmox has it among its raw lines */
        json_set(nics, nic->key, properties_json(nic->properties, nic->property_count, schema));
    }
    return nics;
}

static json_t *raw_json(const struct guest_config *config)
{
    if (config->raw_count == 0)
        return json_null();
    json_t *lines = json_array();
    for (size_t i = 0; i < config->raw_count; i++) {
        json_t *line = json_array();
        json_append(line, json_text(config->raw[i].key));
        json_append(line, json_text(config->raw[i].value));
        json_append(lines, line);
    }
    return lines;
}

/* A string if an lxc.idmap line maps root, else a number; null if Proxmox fails to parse the
 * lines. */
static json_t *root_id_json(const struct guest_config *config, enum idmap_type type, uint32_t id)
{
    size_t length;
    const char *text = guest_config_root_id_text(config, type, &length);
    if (!guest_config_idmap_is_good(config))
        return json_null();
    return text ? json_stringn(text, length) : json_integer(id);
}

static json_t *unprivileged_json(const struct guest_config *config)
{
    if (config->unprivileged < 0)
        return json_null();
    return config->unprivileged_text ? json_text(config->unprivileged_text)
                                     : json_integer(config->unprivileged);
}

static json_t *lxc_json(const struct guest_config *config)
{
    json_t *object = json_object();
    json_set(object, "hostname", json_text_or_null(config->name));
    json_set(object, "hookscript", json_text_or_null(config->hookscript));
    json_set(object, "unprivileged", unprivileged_json(config));
    json_set(object, "root_uid", root_id_json(config, IDMAP_UID, config->root_uid));
    json_set(object, "root_gid", root_id_json(config, IDMAP_GID, config->root_gid));
    json_set(object, "lxc", raw_json(config));
    json_set(object, "mountpoints", volumes_json(config));
    json_set(object, "nets", nics_json(config));
    return object;
}

static json_t *qemu_json(const struct guest_config *config)
{
    json_t *object = json_object();
    json_set(object, "name", json_text_or_null(config->name));
    json_set(object, "hookscript", json_text_or_null(config->hookscript));
    json_set(object, "disks", volumes_json(config));
    json_set(object, "nets", nics_json(config));
    return object;
}

json_t *guest_config_to_json(const struct guest_config *config)
{
    return config->kind == GUEST_LXC ? lxc_json(config) : qemu_json(config);
}
