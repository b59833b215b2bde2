/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/guest_device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/pve/guest_format.h"

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

const struct property_schema qemu_ide_schema = PROPERTY_SCHEMA(ide_rules);
const struct property_schema qemu_sata_schema = PROPERTY_SCHEMA(sata_rules);
const struct property_schema qemu_scsi_schema = PROPERTY_SCHEMA(scsi_rules);
const struct property_schema qemu_virtio_schema = PROPERTY_SCHEMA(virtio_rules);
const struct property_schema qemu_efidisk_schema = PROPERTY_SCHEMA(efidisk_rules);
const struct property_schema qemu_tpmstate_schema = PROPERTY_SCHEMA(tpmstate_rules);

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

static const struct property_rule lxc_rules[] = {
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

/* "virtio=BC:24:11:00:00:01" says the model and the address at once. */
#define MODEL(model) \
    { \
        .name = (model), .alias = "macaddr", .name_of = "model" \
    }

static const char *const qemu_models[] = {
    "e1000",  "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e",
    "i82551", "i82557b",       "i82559er",      "ne2k_isa",      "ne2k_pci",
    "pcnet",  "rtl8139",       "virtio",        "vmxnet3",       NULL,
};

static const struct property_rule qemu_rules[] = {
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

const struct property_schema lxc_nic_schema = PROPERTY_SCHEMA(lxc_rules);
const struct property_schema qemu_nic_schema = PROPERTY_SCHEMA(qemu_rules);

static char *copy_property(const struct property_list *list, const char *key)
{
    const char *value = property_list_get(list, key);
    return mem_copy_text(value ? value : "");
}

/* The address's property is named hwaddr for containers, macaddr for virtual machines. */
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

void nic_free(struct nic *nic)
{
    struct property_list list = {nic->properties, nic->property_count};
    property_list_free(&list);
    free(nic->key);
    free(nic->bridge);
    free(nic->ip);
}

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
        size_t blanks = strspn(value, SPACES);
        size_t digits = strspn(value + blanks, DIGITS);
        if (blanks == 0 || digits == 0)
            return false;
        ret->fields[i] = value + blanks;
        value += blanks + digits;
    }
    return !value[strspn(value, SPACES)];
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

const struct property_schema lxc_rootfs_schema = PROPERTY_SCHEMA(rootfs_rules);
const struct property_schema lxc_mount_point_schema = PROPERTY_SCHEMA(mount_point_rules);

static enum volume_kind classify(const char *source)
{
    if (source[0] != '/')
        return VOLUME_STORAGE;
    return strncmp(source, "/dev/", 5) == 0 ? VOLUME_DEVICE : VOLUME_BIND;
}

static char *storage_of(enum volume_kind kind, const char *source)
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

/* Whether a boolean property is set; otherwise where the file does not say. */
static bool is_set(const struct property_list *list, const char *key, bool otherwise)
{
    const char *value = property_list_get(list, key);
    return value ? strcmp(value, "1") == 0 : otherwise;
}

/* Everything that does not depend on the guest's kind; backup is left to the caller. */
static void fill(const char *key, const char *source, const char *mount_point,
                 struct property_list *list, struct volume *ret)
{
    const char *idmap = property_list_get(list, "idmap");
    enum volume_kind kind = classify(source);
    *ret = (struct volume){
        .key = mem_copy_text(key),
        .kind = kind,
        .source = mem_copy_text(source),
        .storage = storage_of(kind, source),
        .mount_point = mem_copy_text(mount_point),
        .read_only = is_set(list, "ro", false),
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
    bool backup = is_set(list, "backup", false);
    fill(key, property_list_get(list, "volume"), is_rootfs ? "/" : property_list_get(list, "mp"),
         list, ret);
    ret->backup = is_rootfs || (backup && ret->kind == VOLUME_STORAGE);
}

void volume_from_qemu(const char *key, struct property_list *list, struct volume *ret)
{
    bool backup = is_set(list, "backup", true);
    fill(key, property_list_get(list, "file"), "", list, ret);
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
