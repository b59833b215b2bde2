/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/faults/call.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/ptrace.h>

static const struct {
    uint64_t number;
    const char *name;
    int path; /* which argument names a file; -1: none */
} known[] = {
    {SYS_writev, "write", -1},
    {SYS_pwrite64, "pwrite", -1},
    {SYS_pwritev, "pwrite", -1},
    {SYS_fsync, "fsync", -1},
    {SYS_fdatasync, "fdatasync", -1},
    {SYS_ftruncate, "ftruncate", -1},
    {SYS_fallocate, "fallocate", -1},
    {SYS_renameat, "rename", 1},
    {SYS_renameat2, "rename", 1},
    {SYS_linkat, "link", 1},
    {SYS_symlinkat, "link", 2},
    {SYS_unlinkat, "unlink", 1},
    {SYS_mkdirat, "mkdir", 1},
    {SYS_mknodat, "mknod", 1},
    {SYS_fchown, "fchown", -1},
    {SYS_fchownat, "fchown", 1},
    {SYS_fchmod, "fchmod", -1},
    {SYS_fchmodat, "fchmod", 1},
    {SYS_flock, "flock", -1},
    {SYS_umount2, "mount", 0},
    {SYS_mount, "mount", 1},
    {SYS_open_tree, "mount", -1},
    {SYS_mount_setattr, "mount", -1},
    {SYS_move_mount, "mount", -1},
    {SYS_mmap, "mmap", -1},
    {SYS_mremap, "mmap", -1},
    {SYS_brk, "brk", -1},
    {SYS_read, "read", -1},
    {SYS_pread64, "pread", -1},
    {SYS_getrandom, "getrandom", -1},
    {SYS_clone, "clone", -1},
    {SYS_clone3, "clone", -1},
    {SYS_pidfd_open, "pidfd", -1},
    /* The older forms. */
    {SYS_rename, "rename", 0},
    {SYS_link, "link", 0},
    {SYS_symlink, "link", 1},
    {SYS_unlink, "unlink", 0},
    {SYS_rmdir, "unlink", 0},
    {SYS_mkdir, "mkdir", 0},
    {SYS_mknod, "mknod", 0},
    {SYS_chown, "fchown", 0},
    {SYS_lchown, "fchown", 0},
    {SYS_chmod, "fchmod", 0},
};

static const char *open_name(uint64_t flags)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
    return writes && !(flags & O_PATH) ? "openat:w" : "openat:r";
}

static const char *fcntl_name(uint64_t command)
{
    switch (command) {
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return "fcntl:lock";
    default:
        return "other";
    }
}

/* Of what is no file, such as an eventfd, neither disk nor quota has a say. */
static bool is_anonymous(pid_t pid, uint64_t fd)
{
    char link[64];
    char target[16];
    (void)snprintf(link, sizeof link, "/proc/%d/fd/%d", pid, (int)fd);
    ssize_t length = readlink(link, target, sizeof target);
    return length > 10 && strncmp(target, "anon_inode", 10) == 0;
}

const char *call_name(pid_t pid, const struct ptrace_syscall_info *info, int *ret_path)
{
    *ret_path = -1;
    switch (info->entry.nr) {
    case SYS_write:
        return is_anonymous(pid, info->entry.args[0]) ? "other" : "write";
    case SYS_fcntl:
        return fcntl_name(info->entry.args[1]);
    case SYS_open:
        *ret_path = 0;
        return open_name(info->entry.args[1]);
    case SYS_openat:
        *ret_path = 1;
        return open_name(info->entry.args[2]);
    default:
        break;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].number != info->entry.nr)
            continue;
        *ret_path = known[i].path;
        return known[i].name;
    }
    return "other";
}
