/* SPDX-License-Identifier: Apache-2.0 */
#include "store/files/guest_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

#include "schema/base/cleanup.h"
#include "store/files/file.h"

int guest_lock(const struct config *config, uint32_t vmid, int *ret_fd, struct error *error)
{
    char name[32];
    cleanup_close int run = -1;
    if (directory_make(config->paths.run, 0711, (uid_t)-1, (gid_t)-1, &run, error) < 0)
        return -1;
    (void)snprintf(name, sizeof name, "hook-%u.lock", vmid);
    cleanup_close int fd = openat(run, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_errno(error, errno, "%s/%s", config->paths.run, name);
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return fail_errno(error, errno, "%s/%s", config->paths.run, name);
    *ret_fd = steal_fd(&fd);
    return 0;
}
