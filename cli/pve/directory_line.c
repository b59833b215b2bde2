/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pve/directory_line.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/vmid.h"

#define BLANKS " \t"

static enum mount_form form_of_key(const char *key)
{
    if (strcmp(key, MOUNT_ENTRY_KEY) == 0)
        return MOUNT_FORM_ENTRY;
    bool is_mp = strncmp(key, "mp", 2) == 0 && key[2] && !key[2 + strspn(key + 2, "0123456789")];
    return is_mp ? MOUNT_FORM_MP : MOUNT_FORM_NONE;
}

/* Whether the comma list has the part, in any place. */
static bool has_part(const char *list, const char *part, size_t length)
{
    for (;; list++) {
        size_t n = strcspn(list, ",");
        if (n == length && memcmp(list, part, n) == 0)
            return true;
        list += n;
        if (*list == '\0')
            return false;
    }
}

/* A mount point's volume: the part without a key or with this one. To be freed with free(). */
static char *mp_source(const char *value)
{
    static const char key[] = "volume=";
    for (;; value++) {
        size_t n = strcspn(value, ",");
        if (n >= sizeof key && strncmp(value, key, sizeof key - 1) == 0)
            return mem_copy_text_n(value + sizeof key - 1, n - (sizeof key - 1));
        if (!memchr(value, '=', n))
            return mem_copy_text_n(value, n);
        value += n;
        if (*value == '\0')
            return mem_copy_text("");
    }
}

/* The first field of an fstab line. To be freed with free(). */
static char *entry_source(const char *value)
{
    value += strspn(value, BLANKS);
    return mem_copy_text_n(value, strcspn(value, BLANKS));
}

static bool is_below(const char *root, const char *path, uint32_t *ret_vmid)
{
    size_t length = strlen(root);
    if (strncmp(path, root, length) != 0 || path[length] != '/')
        return false;
    const char *name = path + length + strspn(path + length, "/");
    cleanup_free char *first = mem_copy_text_n(name, strcspn(name, "/"));
    return vmid_parse(first, ret_vmid);
}

bool directory_line_read(const struct config *config, const char *key, const char *value,
                         struct directory_line *ret)
{
    uint32_t vmid;
    enum mount_form form = form_of_key(key);
    if (form == MOUNT_FORM_NONE)
        return false;
    cleanup_free char *source = form == MOUNT_FORM_MP ? mp_source(value) : entry_source(value);
    if (!is_below(config->paths.guests, source, &vmid) &&
        !is_below(config->paths.export, source, &vmid))
        return false;
    *ret = (struct directory_line){form, vmid};
    return true;
}

/* Proxmox sorts the options of a mount point when it writes one, and operators add their own. */
static bool has_all_parts(const char *list, const char *parts)
{
    for (;; parts++) {
        size_t n = strcspn(parts, ",");
        if (!has_part(list, parts, n))
            return false;
        parts += n;
        if (*parts == '\0')
            return true;
    }
}

bool directory_line_is_right(const struct config *config, enum mount_form form, uint32_t vmid,
                             const char *key, const char *value)
{
    if (form == MOUNT_FORM_NONE || form_of_key(key) != form)
        return false;
    cleanup_free char *right = directory_line_value(config, form, vmid);
    return form == MOUNT_FORM_MP ? has_all_parts(value, right) : strcmp(value, right) == 0;
}

static bool names_own(const struct config *config, uint32_t vmid, const char *key,
                      const char *value)
{
    struct directory_line line;
    return directory_line_read(config, key, value, &line) && line.vmid == vmid;
}

enum mount_form directory_line_find(const struct config *config, uint32_t vmid,
                                    const struct guest_config *guest)
{
    for (size_t i = 0; i < guest->volume_count; i++)
        if (names_own(config, vmid, guest->volumes[i].key, guest->volumes[i].source))
            return MOUNT_FORM_MP;
    for (size_t i = 0; i < guest->raw_count; i++)
        if (names_own(config, vmid, guest->raw[i].key, guest->raw[i].value))
            return MOUNT_FORM_ENTRY;
    return MOUNT_FORM_NONE;
}

char *directory_line_value(const struct config *config, enum mount_form form, uint32_t vmid)
{
    const char *target = config->bootstrap.guest_path;
    if (form == MOUNT_FORM_MP)
        return mem_format("%s/%u,mp=%s,ro=1,backup=0,replicate=0,shared=1", config->paths.guests,
                          vmid, target);
    return mem_format("%s/%u %s none bind,ro,create=dir,optional 0 0", config->paths.export, vmid,
                      target + strspn(target, "/"));
}
