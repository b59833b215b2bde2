/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/guest_device.h"

#include <string.h>

#include "schema/base/memory.h"
#include "schema/pve/guest_format.h"
#include "schema/pve/guest_size.h"

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
