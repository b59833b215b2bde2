/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/guest_setting.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/pve/guest_device.h"
#include "schema/pve/guest_format.h"

/* Formats are given where somebody reads the setting; the others only have to be known. */
static const struct setting_rule lxc_rules[] = {
    {.name = "hostname", .accepts = format_dns_name},
    {.name = "hookscript", .accepts = format_volume_id},
    {.name = "lock"},
    {.name = "template", .type = SETTING_BOOLEAN},
    {.name = "unprivileged", .type = SETTING_BOOLEAN},
    {.name = "rootfs", .schema = &lxc_rootfs_schema},
    {.name = "mp", .family = 256, .schema = &lxc_mount_point_schema},
    {.name = "net", .family = 32, .schema = &lxc_nic_schema},
    {.name = "unused", .family = 256},
    {.name = "dev", .family = 256},
    {.name = "onboot", .type = SETTING_BOOLEAN},
    {.name = "console", .type = SETTING_BOOLEAN},
    {.name = "protection", .type = SETTING_BOOLEAN},
    {.name = "debug", .type = SETTING_BOOLEAN},
    {.name = "tty", .type = SETTING_INTEGER},
    {.name = "cores", .type = SETTING_INTEGER},
    {.name = "cpuunits", .type = SETTING_INTEGER},
    {.name = "memory", .type = SETTING_INTEGER},
    {.name = "swap", .type = SETTING_INTEGER},
    {.name = "snaptime", .type = SETTING_INTEGER},
    {.name = "cpulimit", .type = SETTING_NUMBER},
    {.name = "arch"},
    {.name = "cmode"},
    {.name = "description"},
    {.name = "entrypoint"},
    {.name = "env"},
    {.name = "features"},
    {.name = "nameserver"},
    {.name = "ostype"},
    {.name = "parent"},
    {.name = "searchdomain"},
    {.name = "startup"},
    {.name = "tags"},
    {.name = "timezone"},
};

static const struct setting_rule qemu_rules[] = {
    {.name = "name", .accepts = format_dns_name},
    {.name = "hookscript", .accepts = format_volume_id},
    {.name = "lock"},
    {.name = "bios"},
    {.name = "template", .type = SETTING_BOOLEAN},
    {.name = "net", .family = 32, .schema = &qemu_nic_schema},
    {.name = "ide", .family = 4, .schema = &qemu_ide_schema},
    {.name = "cdrom", .schema = &qemu_ide_schema, .stands_for = "ide2"},
    {.name = "sata", .family = 6, .schema = &qemu_sata_schema},
    {.name = "scsi", .family = 31, .schema = &qemu_scsi_schema},
    {.name = "virtio", .family = 16, .schema = &qemu_virtio_schema},
    {.name = "efidisk", .family = 1, .schema = &qemu_efidisk_schema},
    {.name = "tpmstate", .family = 1, .schema = &qemu_tpmstate_schema},
};

/* The number in KEY = NAMEnumber without leading zeros, -1 if the key is not like that. */
static long family_number(const char *name, const char *key)
{
    size_t length = strlen(name);
    const char *number = key + length;
    if (strncmp(key, name, length) != 0 || !text_is_all(number, DIGITS))
        return -1;
    return number[0] == '0' && number[1] ? -1 : strtol(number, NULL, 10);
}

static bool rule_covers(const struct setting_rule *rule, const char *key)
{
    if (rule->family == 0)
        return strcmp(rule->name, key) == 0;
    long number = family_number(rule->name, key);
    return number >= 0 && number < (long)rule->family;
}

const struct setting_rule *setting_find(enum guest_kind kind, const char *key)
{
    const struct setting_rule *rules = kind == GUEST_LXC ? lxc_rules : qemu_rules;
    size_t count = kind == GUEST_LXC ? ARRAY_SIZE(lxc_rules) : ARRAY_SIZE(qemu_rules);
    for (size_t i = 0; i < count; i++)
        if (rule_covers(&rules[i], key))
            return &rules[i];
    return NULL;
}

static int check_properties(const struct property_schema *schema, const char *value,
                            struct error *error)
{
    cleanup_property_list struct property_list list = {NULL, 0};
    return property_string_parse(schema, value, &list, error);
}

static int check_text(const struct setting_rule *rule, const char *value, struct error *error)
{
    if (rule->schema)
        return check_properties(rule->schema, value, error);
    if (rule->accepts && !rule->accepts(value))
        return fail(error, ERROR_INVALID, "'%s' has not the right form", value);
    return 0;
}

/* Digits with or without a fraction; unlike in property strings no sign and no exponent. */
static bool is_plain_number(const char *value)
{
    size_t whole = strspn(value, DIGITS);
    return whole > 0 &&
           (!value[whole] || (value[whole] == '.' && text_is_all(value + whole + 1, DIGITS)));
}

static int check_type(const struct setting_rule *rule, const char *value, struct error *error)
{
    switch (rule->type) {
    case SETTING_BOOLEAN:
        return property_boolean(value) ? 0
                                       : fail(error, ERROR_INVALID, "'%s' is no boolean", value);
    case SETTING_INTEGER:
        return text_is_all(value, DIGITS) ? 0
                                          : fail(error, ERROR_INVALID, "'%s' is no integer", value);
    case SETTING_NUMBER:
        return is_plain_number(value) ? 0 : fail(error, ERROR_INVALID, "'%s' is no number", value);
    case SETTING_TEXT:
        break;
    }
    return check_text(rule, value, error);
}

int setting_check(const struct setting_rule *rule, const char *value, const char **ret,
                  struct error *error)
{
    if (strchr(value, '\r'))
        return fail(error, ERROR_INVALID, "there is a carriage return in it");
    if (check_type(rule, value, error) < 0)
        return -1;
    *ret = rule->type == SETTING_BOOLEAN ? property_boolean(value) : value;
    return 0;
}

void settings_add(struct guest_settings *settings, const char *key, const char *value)
{
    if (settings->count == settings->capacity) {
        settings->capacity = settings->capacity ? settings->capacity * 2 : 32;
        settings->items = mem_resize(settings->items, settings->capacity, sizeof *settings->items);
    }
    settings->items[settings->count] = (struct guest_setting){key, value, settings->count};
    settings->count++;
}

static int compare_settings(const void *a, const void *b)
{
    const struct guest_setting *left = a;
    const struct guest_setting *right = b;
    int by_key = strcmp(left->key, right->key);
    return by_key ? by_key : (left->order > right->order) - (left->order < right->order);
}

void settings_finish(struct guest_settings *settings)
{
    struct guest_setting *items = settings->items;
    size_t kept = 0;
    if (settings->count > 0)
        qsort(items, settings->count, sizeof *items, compare_settings);
    for (size_t i = 0; i < settings->count; i++) {
        bool is_last = i + 1 == settings->count || strcmp(items[i].key, items[i + 1].key) != 0;
        if (is_last)
            items[kept++] = items[i];
    }
    settings->count = kept;
}

static int compare_key(const void *key, const void *setting)
{
    return strcmp(key, ((const struct guest_setting *)setting)->key);
}

const char *settings_get(const struct guest_settings *settings, const char *key)
{
    const struct guest_setting *found =
        settings->count == 0
            ? NULL
            : bsearch(key, settings->items, settings->count, sizeof *settings->items, compare_key);
    return found ? found->value : NULL;
}

void settings_free(struct guest_settings *settings)
{
    free(settings->items);
    *settings = (struct guest_settings){NULL, 0, 0};
}
