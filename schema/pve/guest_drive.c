/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/guest_drive.h"

#include <math.h>
#include <string.h>

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
