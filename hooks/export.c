/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/vmid.h"
#include "store/files/file.h"

static int make_target(int exports, const struct config *config, uint32_t vmid, int *ret_fd,
                       struct error *error)
{
    char name[VMID_TEXT_SIZE];
    (void)snprintf(name, sizeof name, "%u", vmid);
    if (mkdirat(exports, name, 0711) < 0 && errno != EEXIST)
        return fail_errno(error, errno, "%s/%s", config->paths.export, name);
    /* Whoever owns it: what is mounted there belongs to the guest's root. */
    int fd = openat(exports, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(error, errno, "%s/%s", config->paths.export, name);
    *ret_fd = fd;
    return 0;
}

static bool is_mount_point(int fd)
{
    struct statx details;
    return statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &details) == 0 &&
           (details.stx_attributes_mask & details.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static bool is_read_only(int fd)
{
    struct statvfs details;
    const unsigned long wanted = ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC;
    return fstatvfs(fd, &details) == 0 && (details.f_flag & wanted) == wanted;
}

static bool is_same_directory(int a, int b)
{
    struct stat of_a;
    struct stat of_b;
    return fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
           of_a.st_ino == of_b.st_ino;
}

static int mount_failure(const char *what, uint32_t vmid, struct error *error)
{
    int reason = errno;
    (void)fail_errno(error, reason, "%s for guest %u", what, vmid);
    error->kind = reason == EPERM || reason == ENOSYS ? ERROR_DENIED : ERROR_SYSTEM;
    return -1;
}

/* The mount gets its attributes before it is attached: there is no moment in which it could be
 * written through. */
static int attach(int source, int target, uint32_t vmid, struct error *error)
{
    struct mount_attr attributes = {
        .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
    };
    cleanup_close int tree =
        open_tree(source, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return mount_failure("cannot make the read-only export", vmid, error);
    if (mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) < 0)
        return mount_failure("cannot make the export read-only", vmid, error);
    if (move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return mount_failure("cannot attach the read-only export", vmid, error);
    return 0;
}

/* What is mounted there shows a directory that was replaced since: guests that hold it keep it, new
 * ones must not get it. */
static int detach(const struct config *config, uint32_t vmid, struct error *error)
{
    cleanup_free char *path = mem_format("%s/%u", config->paths.export, vmid);
    if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
        return mount_failure("cannot detach the stale export", vmid, error);
    return 0;
}

int export_mount(const struct config *config, uint32_t vmid, int source, struct error *error)
{
    cleanup_close int exports = -1;
    if (directory_make(config->paths.export, 0711, (uid_t)-1, (gid_t)-1, &exports, error) < 0)
        return -1;
    for (;;) {
        cleanup_close int target = -1;
        if (make_target(exports, config, vmid, &target, error) < 0)
            return -1;
        if (!is_mount_point(target))
            return attach(source, target, vmid, error);
        if (is_same_directory(source, target) && is_read_only(target))
            return 0;
        if (detach(config, vmid, error) < 0)
            return -1;
    }
}
