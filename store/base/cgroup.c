/* SPDX-License-Identifier: Apache-2.0 */
#include "store/base/cgroup.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

/* The container's processes are in lxc/VMID/ns/init.scope or deeper. */
#define CGROUP_DEPTH_MAX 6

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

const char *cgroup_suffix(enum guest_kind kind)
{
    return places[kind].suffix;
}

char *cgroup_name(enum guest_kind kind, uint32_t vmid)
{
    return mem_format("%u%s", vmid, places[kind].suffix);
}

/* False only if the kernel says so: version 1 does not have the file. */
static bool cgroup_is_populated(int folder, const char *name)
{
    char events[256] = "";
    cleanup_free char *path = mem_format("%s/cgroup.events", name);
    cleanup_close int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, events, sizeof events - 1) < 0)
        return true;
    return !strstr(events, "populated 0");
}

enum cgroup_state cgroup_guest_state(const char *cgroup, enum guest_kind kind, uint32_t vmid)
{
    enum cgroup_state state = CGROUP_UNKNOWN;
    cleanup_free char *name = cgroup_name(kind, vmid);
    for (size_t i = 0; i < CGROUP_HIERARCHIES; i++) {
        cleanup_free char *path = cgroup_folder(cgroup, i, kind);
        cleanup_close int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0)
            continue;
        state = CGROUP_ABSENT;
        if (faccessat(folder, name, F_OK, 0) == 0 && cgroup_is_populated(folder, name))
            return CGROUP_RUNS;
    }
    return state;
}

static pid_t cgroup_first_pid(int dirfd)
{
    char first[16] = "";
    cleanup_close int fd = openat(dirfd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, first, sizeof first - 1) < 0)
        return 0;
    return (pid_t)strtol(first, NULL, 10);
}

/* Returns a process of this cgroup or of one below it; 0 if there is none. Takes over dirfd. */
static pid_t cgroup_pid_below(int dirfd, int depth)
{
    pid_t pid = cgroup_first_pid(dirfd);
    cleanup_directory DIR *stream = fdopendir(dirfd);
    struct dirent *entry;
    if (!stream) {
        (void)close(dirfd);
        return pid;
    }
    while (pid == 0 && depth > 0 && (entry = readdir(stream))) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        int child = openat(dirfd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (child >= 0)
            pid = cgroup_pid_below(child, depth - 1);
    }
    return pid;
}

pid_t cgroup_container_pid(const char *cgroup, uint32_t vmid)
{
    cleanup_free char *name = cgroup_name(GUEST_LXC, vmid);
    for (size_t i = 0; i < CGROUP_HIERARCHIES; i++) {
        cleanup_free char *folder = cgroup_folder(cgroup, i, GUEST_LXC);
        cleanup_free char *path = mem_format("%s/%s", folder, name);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        pid_t pid = fd < 0 ? 0 : cgroup_pid_below(fd, CGROUP_DEPTH_MAX);
        if (pid > 0)
            return pid;
    }
    return 0;
}

/* --- the container's init --- */

#define ANCESTORS_MAX 256

/* A process as its /proc/PID/status shows it. */
struct process {
    pid_t parent;
    int levels;  /* of namespaces of processes, from that of /proc on */
    pid_t inner; /* its id in the innermost of them */
};

static bool process_read(pid_t pid, struct process *ret)
{
    char status[4096] = "";
    cleanup_free char *path = mem_format("/proc/%d/status", (int)pid);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, status, sizeof status - 1) <= 0)
        return false;
    const char *parent = strstr(status, "\nPPid:");
    const char *ids = strstr(status, "\nNSpid:");
    if (!parent || !ids)
        return false;
    *ret = (struct process){.parent = (pid_t)strtol(parent + strlen("\nPPid:"), NULL, 10)};
    ids += strlen("\nNSpid:");
    while (*ids == '\t') {
        char *end;
        ret->inner = (pid_t)strtol(ids + 1, &end, 10);
        ret->levels++;
        ids = end;
    }
    return true;
}

/* Docker inside has processes in namespaces of its own: their ancestors lead to the init. A
 * container without a namespace of processes has no init to look for. */
pid_t cgroup_container_init(const char *cgroup, uint32_t vmid)
{
    struct process process;
    pid_t pid = cgroup_container_pid(cgroup, vmid);
    for (int i = 0; i < ANCESTORS_MAX && pid > 0 && process_read(pid, &process); i++) {
        if (process.levels <= 1 || (process.levels == 2 && process.inner == 1))
            return pid;
        pid = process.parent;
    }
    return 0;
}
