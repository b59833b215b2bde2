/* SPDX-License-Identifier: Apache-2.0 */
#include "server/presence.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/running.h"

/* What cannot be looked at counts as there: nobody loses a token on a guess. */
static enum presence presence_of(const char *path)
{
    struct stat status;
    return stat(path, &status) < 0 && errno == ENOENT ? PRESENCE_NO : PRESENCE_YES;
}

/* DIRECTORY/NAME; unknown where there is no such directory at all. */
static enum presence presence_in(const char *directory, const char *name)
{
    cleanup_free char *path = mem_format("%s/%s", directory, name);
    if (presence_of(directory) != PRESENCE_YES)
        return PRESENCE_UNKNOWN;
    return presence_of(path);
}

/* One that is there decides; else one place where it could be but is not. */
static enum presence combine(enum presence a, enum presence b)
{
    if (a == PRESENCE_YES || b == PRESENCE_YES)
        return PRESENCE_YES;
    return a == PRESENCE_NO || b == PRESENCE_NO ? PRESENCE_NO : PRESENCE_UNKNOWN;
}

enum presence presence_configured(const char *pve, uint32_t vmid)
{
    static const char *const directories[] = {"lxc", "qemu-server"};
    enum presence presence = PRESENCE_UNKNOWN;
    cleanup_free char *name = mem_format("%u.conf", vmid);
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
        cleanup_free char *directory = mem_format("%s/%s", pve, directories[i]);
        presence = combine(presence, presence_in(directory, name));
    }
    return presence;
}

enum presence presence_running(const char *cgroup, enum guest_kind kind, uint32_t vmid)
{
    enum presence presence = PRESENCE_UNKNOWN;
    cleanup_free char *name = cgroup_name(kind, vmid);
    for (size_t i = 0; i < CGROUP_HIERARCHIES; i++) {
        cleanup_free char *folder = cgroup_folder(cgroup, i, kind);
        presence = combine(presence, presence_in(folder, name));
    }
    return presence;
}
