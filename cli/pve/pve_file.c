/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pve/pve_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/file.h"

static bool is_refusal(int result)
{
    return result < 0 && errno != EPERM;
}

/* The cluster file system answers EPERM to any mode or owner that is not its own: it has set the
 * right ones already. */
static int settle(int fd, int dirfd, const char *name, mode_t mode)
{
    struct stat before;
    if (is_refusal(fchmod(fd, mode)))
        return -1;
    if (fstatat(dirfd, name, &before, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -1;
    return is_refusal(fchown(fd, before.st_uid, before.st_gid)) ? -1 : 0;
}

static int write_temporary(int dirfd, const char *temporary, const char *name, mode_t mode,
                           const struct buffer *content)
{
    cleanup_close int fd =
        openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return -1;
    if (settle(fd, dirfd, name, mode) < 0 ||
        file_write_all(fd, buffer_text(content), content->length) < 0)
        return -1;
    return fsync(fd);
}

int pve_file_replace(int dirfd, const char *name, mode_t mode, const struct buffer *content,
                     struct error *error)
{
    cleanup_free char *temporary = mem_format("%s.tmp.%d", name, getpid());
    if (write_temporary(dirfd, temporary, name, mode, content) < 0 ||
        renameat(dirfd, temporary, dirfd, name) < 0) {
        int errnum = errno;
        if (errnum != EEXIST)
            (void)unlinkat(dirfd, temporary, 0);
        return fail_errno(error, errnum, "cannot write %s", name);
    }
    return 0;
}
