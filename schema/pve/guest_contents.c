/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/guest_contents.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/pve/guest_device.h"
#include "schema/pve/guest_drive.h"
#include "schema/pve/guest_format.h"
#include "schema/pve/guest_idmap.h"
#include "schema/pve/guest_nic.h"

#define DIGITS "0123456789"

static char *copy_setting(const struct guest_settings *settings, const char *key)
{
    const char *value = settings_get(settings, key);
    return value ? mem_copy_text(value) : NULL;
}

/* Whether Proxmox takes a setting for true: any value but "0" is, even one that is no boolean. */
static bool is_true(const struct guest_settings *settings, const char *key)
{
    const char *value = settings_get(settings, key);
    return value && strcmp(value, "0") != 0;
}

static void fill_unprivileged(struct guest_config *config, const struct guest_settings *settings)
{
    const char *value = settings_get(settings, "unprivileged");
    config->unprivileged = value ? is_true(settings, "unprivileged") : -1;
    if (value && strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
        config->unprivileged_text = mem_copy_text(value);
}

static void add_volume(struct guest_config *config, const char *key, struct property_list *list)
{
    config->volumes =
        mem_resize(config->volumes, config->volume_count + 1, sizeof *config->volumes);
    struct volume *volume = &config->volumes[config->volume_count++];
    if (config->kind == GUEST_LXC)
        volume_from_lxc(key, list, volume);
    else
        volume_from_qemu(key, list, volume);
}

static void fill_volume(struct guest_config *config, const struct guest_setting *setting,
                        const struct property_schema *schema)
{
    struct error ignored; /* the reader of the line has warned already */
    cleanup_property_list struct property_list list = {NULL, 0};
    if (property_string_parse(schema, setting->value, &list, &ignored) < 0)
        return;
    if (config->kind == GUEST_LXC || drive_is_disk(&list))
        add_volume(config, setting->key, &list);
}

/* For Proxmox a container's NIC of "0" is there, but nothing is known of it. */
static int parse_lxc_nic(const char *text, struct property_list *ret, struct error *error)
{
    if (strcmp(text, "0") == 0)
        return 0;
    if (property_string_parse(&lxc_nic_schema, text, ret, error) < 0)
        return -1;
    if (!property_list_get(ret, "type"))
        property_list_add(ret, "type", "veth");
    return 0;
}

static void fill_nic(struct guest_config *config, const struct guest_setting *setting)
{
    struct error ignored; /* the reader of the line has warned already */
    cleanup_property_list struct property_list list = {NULL, 0};
    int r = config->kind == GUEST_LXC
                ? parse_lxc_nic(setting->value, &list, &ignored)
                : property_string_parse(&qemu_nic_schema, setting->value, &list, &ignored);
    if (r < 0)
        return;
    config->nics = mem_resize(config->nics, config->nic_count + 1, sizeof *config->nics);
    nic_from_properties(setting->key, &list, &config->nics[config->nic_count++]);
}

/* A container's NICs are not limited to the numbers that Proxmox lets one set. */
static bool is_nic(const char *key)
{
    return strncmp(key, "net", 3) == 0 && format_is_made_of(key + 3, DIGITS);
}

static void fill_lists(struct guest_config *config, const struct guest_settings *settings)
{
    for (size_t i = 0; i < settings->count; i++) {
        const struct guest_setting *setting = &settings->items[i];
        const struct setting_rule *rule = setting_find(config->kind, setting->key);
        if (is_nic(setting->key))
            fill_nic(config, setting);
        else if (rule && rule->schema)
            fill_volume(config, setting, rule->schema);
    }
}

/* A virtual machine that does not start by UEFI has no use for its variables: vzdump leaves them
 * out. */
static void exclude_unused_efidisk(struct guest_config *config,
                                   const struct guest_settings *settings)
{
    const char *bios = settings_get(settings, "bios");
    bool is_uefi = bios && strcmp(bios, "ovmf") == 0;
    for (size_t i = 0; i < config->volume_count; i++)
        if (!is_uefi && strncmp(config->volumes[i].key, "efidisk", 7) == 0)
            config->volumes[i].backup = false;
}

/* By the key's letters, then by its number. */
static int compare_keys(const char *left, const char *right)
{
    size_t letters = strcspn(left, DIGITS);
    if (letters != strcspn(right, DIGITS) || strncmp(left, right, letters) != 0)
        return strcmp(left, right);
    unsigned long long a = strtoull(left + letters, NULL, 10);
    unsigned long long b = strtoull(right + letters, NULL, 10);
    return a != b ? (a > b) - (a < b) : strcmp(left, right);
}

static int compare_volumes(const void *a, const void *b)
{
    const char *left = ((const struct volume *)a)->key;
    const char *right = ((const struct volume *)b)->key;
    int rootfs = (strcmp(right, "rootfs") == 0) - (strcmp(left, "rootfs") == 0);
    return rootfs ? rootfs : compare_keys(left, right);
}

static int compare_nics(const void *a, const void *b)
{
    return compare_keys(((const struct nic *)a)->key, ((const struct nic *)b)->key);
}

static void sort_lists(struct guest_config *config)
{
    if (config->volume_count > 0)
        qsort(config->volumes, config->volume_count, sizeof *config->volumes, compare_volumes);
    if (config->nic_count > 0)
        qsort(config->nics, config->nic_count, sizeof *config->nics, compare_nics);
}

void guest_contents_fill(struct guest_config *config, const struct guest_settings *settings)
{
    const char *name = settings_get(settings, config->kind == GUEST_LXC ? "hostname" : "name");
    config->name = mem_copy_text(name ? name : "");
    config->hookscript = copy_setting(settings, "hookscript");
    config->lock = copy_setting(settings, "lock");
    config->template = is_true(settings, "template");
    config->unprivileged = -1;
    if (config->kind == GUEST_LXC)
        fill_unprivileged(config, settings);
    fill_lists(config, settings);
    exclude_unused_efidisk(config, settings);
    sort_lists(config);
    idmap_resolve_root(config);
}
