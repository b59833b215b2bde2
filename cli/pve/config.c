/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pve/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "store/base/clock.h"
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
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    cleanup_close int fd = openat(dirfd, temporary, flags, mode);
    /* The name has this process's id in it: whatever left it there is dead. */
    if (fd < 0 && errno == EEXIST) {
        if (unlinkat(dirfd, temporary, 0) < 0)
            errno = EEXIST;
        else
            fd = openat(dirfd, temporary, flags, mode);
    }
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

#define PVE_REAL   "/etc/pve"
#define FILE_MODE  0640
#define FILE_LIMIT ((size_t)1 << 20)
#define RETRY_NS   50000000L

bool pve_is_real(const struct config *config)
{
    return strcmp(config->paths.pve, PVE_REAL) == 0;
}

static char *lock_directory(const struct config *config, enum guest_kind kind)
{
    if (!pve_is_real(config))
        return mem_format("%s/lock", config->paths.run);
    return mem_copy_text(kind == GUEST_LXC ? "/run/lock/lxc" : "/run/lock/qemu-server");
}

static char *lock_name(const struct config *config, enum guest_kind kind, uint32_t vmid)
{
    bool of_qemu = pve_is_real(config) && kind == GUEST_QEMU;
    return of_qemu ? mem_format("lock-%u.conf", vmid) : mem_format("pve-config-%u.lock", vmid);
}

static int wait_for_lock(int fd, uint32_t vmid, uint32_t wait_ms, struct error *error)
{
    const struct timespec pause = {.tv_nsec = RETRY_NS};
    int64_t deadline = clock_steady_us() + (int64_t)wait_ms * US_PER_MS;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return fail_errno(error, errno, "cannot lock the configuration of guest %u", vmid);
        if (clock_steady_us() >= deadline)
            return fail(error, ERROR_BUSY,
                        "guest %u: its configuration is in use by another task: try again when "
                        "that is done",
                        vmid);
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

static int take_lock(const struct config *config, enum guest_kind kind, uint32_t vmid,
                     uint32_t wait_ms, int *ret_fd, struct error *error)
{
    cleanup_free char *path = lock_directory(config, kind);
    cleanup_free char *name = lock_name(config, kind, vmid);
    cleanup_close int dirfd = -1;
    if (directory_make(path, 0755, (uid_t)-1, (gid_t)-1, &dirfd, error) < 0)
        return -1;
    cleanup_close int fd =
        openat(dirfd, name, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return fail_errno(error, errno, "cannot open the lock file %s/%s", path, name);
    if (wait_for_lock(fd, vmid, wait_ms, error) < 0)
        return -1;
    *ret_fd = steal_fd(&fd);
    return 0;
}

/* PVE/lxc is a symbolic link on a Proxmox host, so links are followed. */
static int open_directory(const struct config *config, enum guest_kind kind, int *ret_fd,
                          struct error *error)
{
    cleanup_free char *path =
        mem_format("%s/%s", config->paths.pve, kind == GUEST_LXC ? "lxc" : "qemu-server");
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(error, errno, "cannot open %s", path);
    *ret_fd = fd;
    return 0;
}

int pve_config_check_unlocked(uint32_t vmid, const struct guest_config *guest, struct error *error)
{
    if (!guest->lock)
        return 0;
    return fail(error, ERROR_CONFLICT,
                "guest %u is locked (%s): wait until that is done, or unlock it if nothing is "
                "running",
                vmid, guest->lock);
}

static int refuse_locked(const struct pve_config *file, enum guest_kind kind, uint32_t vmid,
                         struct error *error)
{
    cleanup(guest_config_free) struct guest_config guest = {0};
    if (guest_config_parse(kind, buffer_text(&file->text), file->text.length, &guest, error) < 0)
        return -1;
    return pve_config_check_unlocked(vmid, &guest, error);
}

static int open_file(const struct config *config, enum guest_kind kind, uint32_t vmid,
                     uint32_t wait_ms, bool even_locked, struct pve_config *ret,
                     struct error *error)
{
    cleanup_pve_config struct pve_config file = PVE_CONFIG_CLOSED;
    (void)snprintf(file.name, sizeof file.name, "%u.conf", vmid);
    if (open_directory(config, kind, &file.dirfd, error) < 0 ||
        take_lock(config, kind, vmid, wait_ms, &file.lock_fd, error) < 0 ||
        file_read_at(file.dirfd, file.name, FILE_LIMIT, &file.text, error) < 0 ||
        (!even_locked && refuse_locked(&file, kind, vmid, error) < 0))
        return -1;
    *ret = file;
    file = PVE_CONFIG_CLOSED;
    return 0;
}

int pve_config_open(const struct config *config, enum guest_kind kind, uint32_t vmid,
                    uint32_t wait_ms, struct pve_config *ret, struct error *error)
{
    return open_file(config, kind, vmid, wait_ms, false, ret, error);
}

int pve_config_hold(const struct config *config, enum guest_kind kind, uint32_t vmid,
                    uint32_t wait_ms, struct pve_config *ret, struct error *error)
{
    return open_file(config, kind, vmid, wait_ms, true, ret, error);
}

int pve_config_write(const struct pve_config *file, struct error *error)
{
    return pve_file_replace(file->dirfd, file->name, FILE_MODE, &file->text, error);
}

void pve_config_close(struct pve_config *file)
{
    cleanup_close_fn(&file->lock_fd);
    cleanup_close_fn(&file->dirfd);
    buffer_free(&file->text);
    *file = PVE_CONFIG_CLOSED;
}
