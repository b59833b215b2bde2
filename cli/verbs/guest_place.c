/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs/guest_place.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/file.h"

#define PARENT_MODE 0711
#define MODE        0700
#define UNCHANGED   ((uid_t)-1)

int guest_place_make(const struct config *config, uint32_t vmid, const struct guest_config *guest,
                     bool *ret_made, struct error *error)
{
    uint32_t uid;
    uint32_t gid;
    cleanup_free char *name = mem_format("%u", vmid);
    cleanup_close int guests = -1;
    cleanup_close int fd = -1;
    guest_config_disk_ids(guest, NULL, &uid, &gid);
    if (directory_make(config->paths.guests, PARENT_MODE, UNCHANGED, UNCHANGED, &guests, error) < 0)
        return -1;
    bool made = mkdirat(guests, name, MODE) == 0;
    if (!made && errno != EEXIST)
        return fail_errno(error, errno, "cannot make %s/%s", config->paths.guests, name);
    if (directory_open_at(guests, name, name, &fd, error) < 0)
        return -1;
    if (made && file_settle(fd, MODE, uid, gid) < 0)
        return fail_errno(error, errno, "cannot set the owner of %s/%s", config->paths.guests,
                          name);
    *ret_made = made;
    return 0;
}

static bool is_mount_point(int dirfd, const char *name)
{
    struct statx details;
    return statx(dirfd, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &details) == 0 &&
           (details.stx_attributes_mask & details.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static bool is_same(int dirfd, const char *name, const char *path)
{
    struct stat a;
    struct stat b;
    return fstatat(dirfd, name, &a, AT_SYMLINK_NOFOLLOW) == 0 && lstat(path, &b) == 0 &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Detached, as the running guest may hold it; its own copy lives on until it stops. */
static int unmount(const char *export, const char *guest, int dirfd, const char *name,
                   struct error *error)
{
    while (is_mount_point(dirfd, name)) {
        if (!is_same(dirfd, name, guest))
            return fail(error, ERROR_CONFLICT,
                        "%s is a mount, but not of %s: look at it, then umount it", export, guest);
        if (umount2(export, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
            return fail_errno(error, errno, "cannot unmount %s", export);
    }
    return 0;
}

int guest_place_unexport(const struct config *config, uint32_t vmid, bool *ret_removed,
                         struct error *error)
{
    cleanup_free char *name = mem_format("%u", vmid);
    cleanup_free char *export = mem_format("%s/%u", config->paths.export, vmid);
    cleanup_free char *guest = mem_format("%s/%u", config->paths.guests, vmid);
    cleanup_close int dirfd = open(config->paths.export, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dirfd >= 0 && unmount(export, guest, dirfd, name, error) < 0)
        return -1;
    *ret_removed = dirfd >= 0 && unlinkat(dirfd, name, AT_REMOVEDIR) == 0;
    if (*ret_removed || errno == ENOENT)
        return 0;
    return fail_errno(error, errno, "cannot remove %s", export);
}
