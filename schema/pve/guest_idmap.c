/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/guest_idmap.h"

#include <stdlib.h>
#include <string.h>

#include "schema/pve/guest_format.h"

#define DIGITS "0123456789"

/* Where Proxmox starts the ids of every container that is unprivileged and says no more. */
#define UNPRIVILEGED_ROOT 100000

enum field { FIELD_CONTAINER, FIELD_HOST, FIELD_LENGTH, FIELD_COUNT };

/* A line's numbers, as where they start in its text. */
struct idmap_line {
    char type;
    const char *fields[FIELD_COUNT];
};

static bool line_parse(const char *value, struct idmap_line *ret)
{
    ret->type = value[0];
    if (value[0] != IDMAP_UID && value[0] != IDMAP_GID)
        return false;
    value++;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        size_t blanks = strspn(value, GUEST_BLANKS);
        size_t digits = strspn(value + blanks, DIGITS);
        if (blanks == 0 || digits == 0)
            return false;
        ret->fields[i] = value + blanks;
        value += blanks + digits;
    }
    return !value[strspn(value, GUEST_BLANKS)];
}

static bool is_zero(const char *digits)
{
    return strspn(digits, "0") == strspn(digits, DIGITS);
}

static uint32_t to_id(const char *digits)
{
    unsigned long long id = strtoull(digits, NULL, 10);
    return id < UINT32_MAX ? (uint32_t)id : UINT32_MAX;
}

static bool is_idmap(const struct property *raw)
{
    return strcmp(raw->key, "lxc.idmap") == 0;
}

bool idmap_line_is_good(const char *value)
{
    struct idmap_line line;
    return line_parse(value, &line);
}

bool idmap_is_good(const struct guest_config *config)
{
    for (size_t i = 0; i < config->raw_count; i++)
        if (is_idmap(&config->raw[i]) && !idmap_line_is_good(config->raw[i].value))
            return false;
    return true;
}

static bool has_idmap(const struct guest_config *config)
{
    for (size_t i = 0; i < config->raw_count; i++)
        if (is_idmap(&config->raw[i]))
            return true;
    return false;
}

const char *idmap_root_text(const struct guest_config *config, enum idmap_type type,
                            size_t *ret_length)
{
    const char *host = NULL;
    for (size_t i = 0; i < config->raw_count; i++) {
        const struct property *raw = &config->raw[i];
        struct idmap_line line;
        if (is_idmap(raw) && line_parse(raw->value, &line) && line.type == (char)type &&
            is_zero(line.fields[FIELD_CONTAINER]))
            host = line.fields[FIELD_HOST];
    }
    if (host)
        *ret_length = strspn(host, DIGITS);
    return host;
}

static uint32_t resolve(const struct guest_config *config, enum idmap_type type, bool *ret_mapped)
{
    size_t length;
    const char *host = idmap_root_text(config, type, &length);
    *ret_mapped = host != NULL;
    if (host)
        return to_id(host);
    return config->unprivileged == 1 && !has_idmap(config) ? UNPRIVILEGED_ROOT : 0;
}

void idmap_resolve_root(struct guest_config *config)
{
    config->root_uid = resolve(config, IDMAP_UID, &config->root_uid_mapped);
    config->root_gid = resolve(config, IDMAP_GID, &config->root_gid_mapped);
}

/* The disk's id in the entry "TYPE:0:DISK:LENGTH" of a mount point's idmap, NULL if there is none
 * for root. */
static const char *disk_id_text(const char *idmap, enum idmap_type type)
{
    for (const char *entry = idmap; entry; entry = strchr(entry, ';')) {
        entry += *entry == ';';
        if (entry[0] == (char)type && is_zero(entry + 2))
            return strchr(entry + 2, ':') + 1;
    }
    return NULL;
}

static uint32_t disk_id(const char *idmap, enum idmap_type type, uint32_t host_id)
{
    if (strcmp(idmap, "passthrough") == 0)
        return 0;
    const char *disk = disk_id_text(idmap, type);
    return disk ? to_id(disk) : host_id;
}

void guest_config_disk_ids(const struct guest_config *config, const char *idmap, uint32_t *ret_uid,
                           uint32_t *ret_gid)
{
    /* A container without a user namespace has no ids to map; nor can an id that it does not map
     * be. */
    bool is_default = config->unprivileged == 1 && !has_idmap(config);
    bool is_good = idmap && format_mount_idmap(idmap);
    bool uid_maps = is_good && (is_default || config->root_uid_mapped);
    bool gid_maps = is_good && (is_default || config->root_gid_mapped);
    *ret_uid = uid_maps ? disk_id(idmap, IDMAP_UID, config->root_uid) : config->root_uid;
    *ret_gid = gid_maps ? disk_id(idmap, IDMAP_GID, config->root_gid) : config->root_gid;
}
