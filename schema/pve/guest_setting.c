/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/guest_setting.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/buffer.h"
#include "schema/base/memory.h"

/* --- properties of drives, NICs and mount points --- */

static const char *const media[] = {"cdrom", "disk", NULL};
static const char *const cache_modes[] = {"none",   "writethrough", "writeback",
                                          "unsafe", "directsync",   NULL};
static const char *const image_formats[] = {"raw", "qcow", "qed", "qcow2", "vmdk", "cloop", NULL};
static const char *const tpm_formats[] = {"raw", "qcow2", "vmdk", NULL};
static const char *const tpm_versions[] = {"v1.2", "v2.0", NULL};
static const char *const read_errors[] = {"ignore", "report", "stop", NULL};
static const char *const write_errors[] = {"enospc", "ignore", "report", "stop", NULL};
static const char *const aio_types[] = {"native", "threads", "io_uring", NULL};
static const char *const discard_modes[] = {"ignore", "on", NULL};
static const char *const efi_types[] = {"2m", "4m", NULL};
static const char *const efi_certificates[] = {"2011", "2023", "2023w", "2023k", NULL};
static const struct property_range at_least_one = {1, INFINITY};
static const struct property_range at_least_two = {2, INFINITY};

/* clang-format off */
#define BOOLEAN(key) {.name = (key), .type = PROPERTY_BOOLEAN}
#define INTEGER(key) {.name = (key), .type = PROPERTY_INTEGER}
#define NUMBER(key)  {.name = (key), .type = PROPERTY_NUMBER}
#define SECONDS(key) {.name = (key), .type = PROPERTY_INTEGER, .range = &at_least_one}

#define SOURCE_RULES \
    {.name = "volume", .alias = "file"}, \
    {.name = "file", .required = true, .bare = true, .accepts = format_drive_source}, \
    {.name = "size", .accepts = format_disk_size}

#define THROTTLE_RULES \
    INTEGER("bps"), INTEGER("bps_rd"), INTEGER("bps_wr"), \
    NUMBER("mbps"), NUMBER("mbps_rd"), NUMBER("mbps_wr"), \
    INTEGER("iops"), INTEGER("iops_rd"), INTEGER("iops_wr"), \
    NUMBER("mbps_max"), NUMBER("mbps_rd_max"), NUMBER("mbps_wr_max"), \
    INTEGER("iops_max"), INTEGER("iops_rd_max"), INTEGER("iops_wr_max"), \
    SECONDS("bps_max_length"), SECONDS("bps_rd_max_length"), SECONDS("bps_wr_max_length"), \
    SECONDS("iops_max_length"), SECONDS("iops_rd_max_length"), SECONDS("iops_wr_max_length"), \
    {.name = "bps_rd_length", .alias = "bps_rd_max_length"}, \
    {.name = "bps_wr_length", .alias = "bps_wr_max_length"}, \
    {.name = "iops_rd_length", .alias = "iops_rd_max_length"}, \
    {.name = "iops_wr_length", .alias = "iops_wr_max_length"}

#define DRIVE_RULES \
    SOURCE_RULES, \
    THROTTLE_RULES, \
    {.name = "media", .values = media}, \
    {.name = "cache", .values = cache_modes}, \
    {.name = "format", .values = image_formats}, \
    {.name = "rerror", .values = read_errors}, \
    {.name = "werror", .values = write_errors}, \
    {.name = "aio", .values = aio_types}, \
    {.name = "discard", .values = discard_modes}, \
    {.name = "serial", .accepts = format_drive_serial}, \
    BOOLEAN("snapshot"), BOOLEAN("backup"), BOOLEAN("replicate"), \
    BOOLEAN("detect_zeroes"), BOOLEAN("shared")

#define WWN_RULE {.name = "wwn", .accepts = format_drive_wwn}

static const struct property_rule ide_rules[] = {
    DRIVE_RULES, WWN_RULE, BOOLEAN("ssd"),
    {.name = "model", .accepts = format_drive_model},
};

static const struct property_rule sata_rules[] = {DRIVE_RULES, WWN_RULE, BOOLEAN("ssd")};

static const struct property_rule scsi_rules[] = {
    DRIVE_RULES, WWN_RULE, BOOLEAN("ssd"), BOOLEAN("iothread"), BOOLEAN("ro"), BOOLEAN("scsiblock"),
    {.name = "product", .accepts = format_drive_product},
    {.name = "vendor", .accepts = format_drive_vendor},
    {.name = "queues", .type = PROPERTY_INTEGER, .range = &at_least_two},
};

static const struct property_rule virtio_rules[] = {
    DRIVE_RULES, BOOLEAN("iothread"), BOOLEAN("ro"),
};

static const struct property_rule efidisk_rules[] = {
    SOURCE_RULES, BOOLEAN("pre-enrolled-keys"),
    {.name = "format", .values = image_formats},
    {.name = "efitype", .values = efi_types},
    {.name = "ms-cert", .values = efi_certificates},
};

static const struct property_rule tpmstate_rules[] = {
    SOURCE_RULES,
    {.name = "format", .values = tpm_formats},
    {.name = "version", .values = tpm_versions},
};
/* clang-format on */

static const struct property_schema qemu_ide_schema = PROPERTY_SCHEMA(ide_rules);
static const struct property_schema qemu_sata_schema = PROPERTY_SCHEMA(sata_rules);
static const struct property_schema qemu_scsi_schema = PROPERTY_SCHEMA(scsi_rules);
static const struct property_schema qemu_virtio_schema = PROPERTY_SCHEMA(virtio_rules);
static const struct property_schema qemu_efidisk_schema = PROPERTY_SCHEMA(efidisk_rules);
static const struct property_schema qemu_tpmstate_schema = PROPERTY_SCHEMA(tpmstate_rules);

bool drive_is_disk(const struct property_list *list)
{
    const char *source = property_list_get(list, "file");
    const char *medium = property_list_get(list, "media");
    return strcmp(source, "none") != 0 && strcmp(source, "cdrom") != 0 &&
           (!medium || strcmp(medium, "cdrom") != 0);
}

static const char *const lxc_types[] = {"veth", NULL};
static const struct property_range vlan_tags = {1, 4094};
static const struct property_range lxc_mtus = {64, 65535};
static const struct property_range qemu_mtus = {1, 65520};
static const struct property_range qemu_queues = {0, 64};
static const struct property_range not_negative = {0, INFINITY};

static const struct property_rule lxc_nic_rules[] = {
    {.name = "type", .values = lxc_types},
    {.name = "name", .required = true, .accepts = format_word},
    {.name = "bridge", .accepts = format_word},
    {.name = "hwaddr", .accepts = format_unicast_hwaddr},
    {.name = "mtu", .type = PROPERTY_INTEGER, .range = &lxc_mtus},
    {.name = "ip", .accepts = format_ipv4_config},
    {.name = "gw", .accepts = format_ipv4},
    {.name = "ip6", .accepts = format_ipv6_config},
    {.name = "gw6", .accepts = format_ipv6},
    {.name = "firewall", .type = PROPERTY_BOOLEAN},
    {.name = "tag", .type = PROPERTY_INTEGER, .range = &vlan_tags},
    {.name = "trunks", .accepts = format_vlan_ids},
    {.name = "rate", .type = PROPERTY_NUMBER},
    {.name = "link_down", .type = PROPERTY_BOOLEAN},
    {.name = "host-managed", .type = PROPERTY_BOOLEAN},
};

/* "virtio=BC:24:11:00:00:01" gives the model and the hardware address in one property. */
#define MODEL(model) \
    { \
        .name = (model), .alias = "macaddr", .name_of = "model" \
    }

static const char *const qemu_models[] = {
    "e1000",  "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e",
    "i82551", "i82557b",       "i82559er",      "ne2k_isa",      "ne2k_pci",
    "pcnet",  "rtl8139",       "virtio",        "vmxnet3",       NULL,
};

static const struct property_rule qemu_nic_rules[] = {
    {.name = "model", .required = true, .bare = true, .values = qemu_models},
    {.name = "macaddr", .accepts = format_unicast_hwaddr},
    MODEL("e1000"),
    MODEL("e1000-82540em"),
    MODEL("e1000-82544gc"),
    MODEL("e1000-82545em"),
    MODEL("e1000e"),
    MODEL("i82551"),
    MODEL("i82557b"),
    MODEL("i82559er"),
    MODEL("ne2k_isa"),
    MODEL("ne2k_pci"),
    MODEL("pcnet"),
    MODEL("rtl8139"),
    MODEL("virtio"),
    MODEL("vmxnet3"),
    {.name = "bridge", .accepts = format_word},
    {.name = "queues", .type = PROPERTY_INTEGER, .range = &qemu_queues},
    {.name = "rate", .type = PROPERTY_NUMBER, .range = &not_negative},
    {.name = "tag", .type = PROPERTY_INTEGER, .range = &vlan_tags},
    {.name = "trunks", .accepts = format_vlan_ranges},
    {.name = "firewall", .type = PROPERTY_BOOLEAN},
    {.name = "link_down", .type = PROPERTY_BOOLEAN},
    {.name = "mtu", .type = PROPERTY_INTEGER, .range = &qemu_mtus},
    {.name = "host-tunnel", .type = PROPERTY_BOOLEAN},
};

const struct property_schema lxc_nic_schema = PROPERTY_SCHEMA(lxc_nic_rules);
const struct property_schema qemu_nic_schema = PROPERTY_SCHEMA(qemu_nic_rules);

static char *copy_property(const struct property_list *list, const char *key)
{
    const char *value = property_list_get(list, key);
    return mem_copy_text(value ? value : "");
}

/* The address is the property hwaddr of a container's NIC and macaddr of a virtual machine's. */
static bool read_hwaddr(const struct property_list *list, struct hwaddr *ret)
{
    const char *hwaddr = property_list_get(list, "hwaddr");
    const char *text = hwaddr ? hwaddr : property_list_get(list, "macaddr");
    return text && hwaddr_parse(text, ret);
}

void nic_from_properties(const char *key, struct property_list *list, struct nic *ret)
{
    *ret = (struct nic){
        .key = mem_copy_text(key),
        .bridge = copy_property(list, "bridge"),
        .ip = copy_property(list, "ip"),
        .properties = list->items,
        .property_count = list->count,
    };
    ret->has_hwaddr = read_hwaddr(list, &ret->hwaddr);
    *list = (struct property_list){NULL, 0};
}

const char *nic_property(const struct nic *nic, const char *key)
{
    for (size_t i = 0; i < nic->property_count; i++)
        if (strcmp(nic->properties[i].key, key) == 0)
            return nic->properties[i].value;
    return NULL;
}

static void add_nic_property(struct buffer *text, enum guest_kind kind, const char *key,
                             const char *value)
{
    buffer_add_text(text, text->length ? "," : "");
    if (kind == GUEST_QEMU && strcmp(key, "model") == 0)
        buffer_add_text(text, value);
    else
        buffer_add_format(text, "%s=%s", key, value);
}

char *nic_changed(const struct nic *nic, enum guest_kind kind, const char *key, const char *value)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    if (nic->raw)
        return NULL;
    for (size_t i = 0; i < nic->property_count; i++)
        if (strcmp(nic->properties[i].key, key) != 0)
            add_nic_property(&text, kind, nic->properties[i].key, nic->properties[i].value);
        else if (value)
            add_nic_property(&text, kind, key, value);
    if (value && !nic_property(nic, key))
        add_nic_property(&text, kind, key, value);
    return mem_copy_text(buffer_text(&text));
}

void nic_from_raw(const char *key, struct property_list *list, struct nic *ret)
{
    const char *hwaddr = property_list_get(list, "hwaddr");
    *ret = (struct nic){
        .key = mem_copy_text(key),
        .raw = true,
        .bridge = copy_property(list, "link"),
        .ip = copy_property(list, "ipv4.address"),
        .properties = list->items,
        .property_count = list->count,
    };
    ret->has_hwaddr = hwaddr && hwaddr_parse(hwaddr, &ret->hwaddr);
    *list = (struct property_list){NULL, 0};
}

void nic_free(struct nic *nic)
{
    struct property_list list = {nic->properties, nic->property_count};
    property_list_free(&list);
    free(nic->key);
    free(nic->bridge);
    free(nic->ip);
}

/* clang-format off */
#define ROOTFS_RULES \
    {.name = "volume", .required = true, .bare = true, .accepts = format_mount_path}, \
    {.name = "size", .accepts = format_disk_size}, \
    {.name = "acl", .type = PROPERTY_BOOLEAN}, \
    {.name = "mountoptions", .accepts = format_mount_options}, \
    {.name = "idmap", .accepts = format_mount_idmap}, \
    {.name = "ro", .type = PROPERTY_BOOLEAN}, \
    {.name = "quota", .type = PROPERTY_BOOLEAN}, \
    {.name = "replicate", .type = PROPERTY_BOOLEAN}, \
    {.name = "shared", .type = PROPERTY_BOOLEAN}

static const struct property_rule rootfs_rules[] = {ROOTFS_RULES};

static const struct property_rule mount_point_rules[] = {
    ROOTFS_RULES,
    {.name = "backup", .type = PROPERTY_BOOLEAN},
    {.name = "mp", .required = true, .accepts = format_mount_path},
    {.name = "keepattrs", .type = PROPERTY_BOOLEAN},
};
/* clang-format on */

static const struct property_schema lxc_rootfs_schema = PROPERTY_SCHEMA(rootfs_rules);
static const struct property_schema lxc_mount_point_schema = PROPERTY_SCHEMA(mount_point_rules);

static enum volume_kind volume_classify(const char *source)
{
    if (source[0] != '/')
        return VOLUME_STORAGE;
    return strncmp(source, "/dev/", 5) == 0 ? VOLUME_DEVICE : VOLUME_BIND;
}

static char *volume_storage(enum volume_kind kind, const char *source)
{
    bool named = kind == VOLUME_STORAGE && format_volume_id(source);
    return mem_copy_text_n(source, named ? strcspn(source, ":") : 0);
}

static int64_t size_in_bytes(const char *text)
{
    long double bytes;
    if (!text || !guest_size_parse(text, &bytes))
        return -1;
    return bytes < (long double)INT64_MAX ? (int64_t)bytes : INT64_MAX;
}

/* Returns true if a boolean property is "1"; otherwise if the property is not there. */
static bool property_is_set(const struct property_list *list, const char *key, bool otherwise)
{
    const char *value = property_list_get(list, key);
    return value ? strcmp(value, "1") == 0 : otherwise;
}

/* Fills all fields that do not depend on the guest's kind. backup is left to the caller. */
static void volume_fill(const char *key, const char *source, const char *mount_point,
                        struct property_list *list, struct volume *ret)
{
    const char *idmap = property_list_get(list, "idmap");
    enum volume_kind kind = volume_classify(source);
    *ret = (struct volume){
        .key = mem_copy_text(key),
        .kind = kind,
        .source = mem_copy_text(source),
        .storage = volume_storage(kind, source),
        .mount_point = mem_copy_text(mount_point),
        .read_only = property_is_set(list, "ro", false),
        .size_bytes = size_in_bytes(property_list_get(list, "size")),
        .idmap = idmap ? mem_copy_text(idmap) : NULL,
        .properties = list->items,
        .property_count = list->count,
    };
    *list = (struct property_list){NULL, 0};
}

void volume_from_lxc(const char *key, struct property_list *list, struct volume *ret)
{
    bool is_rootfs = strcmp(key, "rootfs") == 0;
    bool backup = property_is_set(list, "backup", false);
    volume_fill(key, property_list_get(list, "volume"),
                is_rootfs ? "/" : property_list_get(list, "mp"), list, ret);
    ret->backup = is_rootfs || (backup && ret->kind == VOLUME_STORAGE);
}

void volume_from_qemu(const char *key, struct property_list *list, struct volume *ret)
{
    bool backup = property_is_set(list, "backup", true);
    volume_fill(key, property_list_get(list, "file"), "", list, ret);
    ret->backup = backup;
}

void volume_free(struct volume *volume)
{
    struct property_list list = {volume->properties, volume->property_count};
    property_list_free(&list);
    free(volume->key);
    free(volume->source);
    free(volume->storage);
    free(volume->mount_point);
    free(volume->idmap);
}

/* Only settings that the agent uses have a format here; of the others it only matters that they
 * exist. */
static const struct guest_setting_rule lxc_rules[] = {
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

static const struct guest_setting_rule qemu_rules[] = {
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

/* Returns the number in a key such as mp12; -1 if the key is not name and a number without leading
 * zeros. */
static long family_number(const char *name, const char *key)
{
    size_t length = strlen(name);
    const char *number = key + length;
    if (strncmp(key, name, length) != 0 || !text_is_all(number, DIGITS))
        return -1;
    return number[0] == '0' && number[1] ? -1 : strtol(number, NULL, 10);
}

static bool rule_covers(const struct guest_setting_rule *rule, const char *key)
{
    if (rule->family == 0)
        return strcmp(rule->name, key) == 0;
    long number = family_number(rule->name, key);
    return number >= 0 && number < (long)rule->family;
}

const struct guest_setting_rule *guest_setting_find(enum guest_kind kind, const char *key)
{
    const struct guest_setting_rule *rules = kind == GUEST_LXC ? lxc_rules : qemu_rules;
    size_t count = kind == GUEST_LXC ? ARRAY_SIZE(lxc_rules) : ARRAY_SIZE(qemu_rules);
    for (size_t i = 0; i < count; i++)
        if (rule_covers(&rules[i], key))
            return &rules[i];
    return NULL;
}

static int setting_check_properties(const struct property_schema *schema, const char *value,
                                    struct error *error)
{
    cleanup_property_list struct property_list list = {NULL, 0};
    return property_string_parse(schema, value, &list, error);
}

static int setting_check_text(const struct guest_setting_rule *rule, const char *value,
                              struct error *error)
{
    if (rule->schema)
        return setting_check_properties(rule->schema, value, error);
    if (rule->accepts && !rule->accepts(value))
        return fail(error, ERROR_INVALID, "'%s' has not the right form", value);
    return 0;
}

/* Accepts digits with an optional fraction. Unlike numbers in property strings, no sign and no
 * exponent. */
static bool is_plain_number(const char *value)
{
    size_t whole = strspn(value, DIGITS);
    return whole > 0 &&
           (!value[whole] || (value[whole] == '.' && text_is_all(value + whole + 1, DIGITS)));
}

static int setting_check_type(const struct guest_setting_rule *rule, const char *value,
                              struct error *error)
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
    return setting_check_text(rule, value, error);
}

int guest_setting_check(const struct guest_setting_rule *rule, const char *value, const char **ret,
                        struct error *error)
{
    if (strchr(value, '\r'))
        return fail(error, ERROR_INVALID, "there is a carriage return in it");
    if (setting_check_type(rule, value, error) < 0)
        return -1;
    *ret = rule->type == SETTING_BOOLEAN ? property_boolean(value) : value;
    return 0;
}

void guest_settings_add(struct guest_settings *settings, const char *key, const char *value)
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

void guest_settings_finish(struct guest_settings *settings)
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

static int compare_key_to_setting(const void *key, const void *setting)
{
    return strcmp(key, ((const struct guest_setting *)setting)->key);
}

const char *guest_settings_get(const struct guest_settings *settings, const char *key)
{
    const struct guest_setting *found =
        settings->count == 0 ? NULL
                             : bsearch(key, settings->items, settings->count,
                                       sizeof *settings->items, compare_key_to_setting);
    return found ? found->value : NULL;
}

void guest_settings_free(struct guest_settings *settings)
{
    free(settings->items);
    *settings = (struct guest_settings){NULL, 0, 0};
}
