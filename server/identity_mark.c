/* SPDX-License-Identifier: Apache-2.0 */
#include "server/identity_mark.h"

#include <sys/stat.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

bool identity_mark_moved(struct identity_mark *mark, const char *state_dir)
{
    struct stat status;
    cleanup_free char *path = mem_format("%s/tls/agent.crt", state_dir);
    if (lstat(path, &status) < 0)
        return false;
    const struct identity_mark now = {status.st_ino, status.st_ctim};
    bool moved = now.inode != mark->inode || now.changed_at.tv_sec != mark->changed_at.tv_sec ||
                 now.changed_at.tv_nsec != mark->changed_at.tv_nsec;
    *mark = now;
    return moved;
}
