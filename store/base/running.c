/* SPDX-License-Identifier: Apache-2.0 */
#include "store/base/running.h"

#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

static const struct {
    const char *folder;
    const char *suffix;
} places[] = {
    [GUEST_LXC] = {"lxc", ""},
    [GUEST_QEMU] = {"qemu.slice", ".scope"},
};

char *cgroup_folder(const char *cgroup, size_t hierarchy, enum guest_kind kind)
{
    static const char *const hierarchies[CGROUP_HIERARCHIES] = {"", "/unified", "/systemd"};
    return mem_format("%s%s/%s", cgroup, hierarchies[hierarchy], places[kind].folder);
}

char *cgroup_name(enum guest_kind kind, uint32_t vmid)
{
    return mem_format("%u%s", vmid, places[kind].suffix);
}

bool cgroup_has_guest(const char *cgroup, enum guest_kind kind, uint32_t vmid)
{
    cleanup_free char *name = cgroup_name(kind, vmid);
    for (size_t i = 0; i < CGROUP_HIERARCHIES; i++) {
        cleanup_free char *folder = cgroup_folder(cgroup, i, kind);
        cleanup_free char *path = mem_format("%s/%s", folder, name);
        if (access(path, F_OK) == 0)
            return true;
    }
    return false;
}
