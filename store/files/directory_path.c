/* SPDX-License-Identifier: Apache-2.0 */
/* Verified ways to a directory: each component is opened from the one before, so what was judged is
 * what is used. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/file.h"

#define NOBODY       ((uid_t)-1)
#define OVERFLOW_UID 65534

/* A walk from "/" along a path, and what it does on the way. */
struct walk {
    int fd;       /* the directory reached */
    char *path;   /* how messages call it: the path cut behind it */
    uid_t friend; /* may own components beside root and this process's user; NOBODY: none */
    bool make;    /* what is missing */
    mode_t mode;  /* of what is made */
    bool made;    /* whether the directory reached was made now */
};

static void walk_free(struct walk *walk)
{
    cleanup_close_fn(&walk->fd);
    free(walk->path);
}

static int refuse_file(int dirfd, const char *name, const char *path, struct error *error)
{
    struct stat status;
    if (fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode))
        return fail(error, ERROR_DENIED,
                    "%s is a symbolic link: put a directory in its place, or name the directory it "
                    "points to",
                    path);
    return fail(error, ERROR_DENIED, "%s is not a directory: move it out of the way", path);
}

static int open_component(int dirfd, const char *name, const char *path, int flags, int *ret_fd,
                          struct error *error)
{
    int fd = openat(dirfd, name, flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return fail(error, ERROR_MISSING, "%s: no such directory", path);
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
        return refuse_file(dirfd, name, path, error);
    if (fd < 0)
        return fail_errno(error, errno, "cannot open %s", path);
    *ret_fd = fd;
    return 0;
}

int directory_open_at(int dirfd, const char *name, const char *path, int *ret_fd,
                      struct error *error)
{
    return open_component(dirfd, name, path, O_RDONLY, ret_fd, error);
}

/*
 * In a user namespace the host's root shows as this id, like everybody else who is not mapped. The
 * only users there are our own, and what belongs to nobody of them is as far out of their reach as
 * root's.
 */
static bool is_unmapped(uid_t uid)
{
    char map[64] = ""; /* FIRST_INSIDE FIRST_OUTSIDE COUNT */
    cleanup_close int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    if (uid != OVERFLOW_UID || fd < 0 || read(fd, map, sizeof map - 1) < 0)
        return false;
    char *rest = map;
    (void)strtoul(rest, &rest, 10);
    (void)strtoul(rest, &rest, 10);
    unsigned long count = strtoul(rest, &rest, 10);
    return count > 0 && count < OVERFLOW_UID;
}

static bool is_trusted(const struct walk *walk, uid_t owner)
{
    return owner == 0 || owner == geteuid() || owner == walk->friend || is_unmapped(owner);
}

static int judge(const struct walk *walk, const char *path, struct error *error)
{
    struct stat status;
    if (fstat(walk->fd, &status) < 0)
        return fail_errno(error, errno, "cannot look at %s", path);
    if (!is_trusted(walk, status.st_uid))
        return fail(error, ERROR_DENIED,
                    "%s belongs to uid %u, who could replace what is in it: chown root %s", path,
                    status.st_uid, path);
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) && !(status.st_mode & S_ISVTX))
        return fail(error, ERROR_DENIED,
                    "%s may be written to by others (mode %04o): chmod go-w %s", path,
                    status.st_mode & 07777, path);
    return 0;
}

/* O_PATH, as a directory on the way need not be readable. */
static int reach(const struct walk *walk, const char *name, int *ret_fd, struct error *error)
{
    return open_component(walk->fd, name, walk->path, O_PATH, ret_fd, error);
}

/* The umask is lifted rather than mended afterwards: whoever is killed here leaves no directory of
 * a wrong mode. */
static int make_component(struct walk *walk, const char *name, int *ret_fd, struct error *error)
{
    mode_t mask = umask(0);
    walk->made = mkdirat(walk->fd, name, walk->mode) == 0;
    int errnum = errno;
    (void)umask(mask);
    if (!walk->made && errnum != EEXIST)
        return fail_errno(error, errnum, "cannot make %s", walk->path);
    return reach(walk, name, ret_fd, error);
}

static int enter(struct walk *walk, const char *name, struct error *error)
{
    int fd = -1;
    struct error problem;
    int result = reach(walk, name, &fd, &problem);
    walk->made = false;
    if (result < 0 && problem.kind == ERROR_MISSING && walk->make)
        result = make_component(walk, name, &fd, &problem);
    if (result < 0) {
        *error = problem;
        return -1;
    }
    (void)close(walk->fd);
    walk->fd = fd;
    return judge(walk, walk->path, error);
}

static int start(struct walk *walk, const char *path, struct error *error)
{
    walk->path = mem_copy_text(path);
    if (path[0] != '/')
        return fail(error, ERROR_INVALID, "%s: not an absolute path", path);
    walk->fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (walk->fd < 0)
        return fail_errno(error, errno, "cannot open /");
    return judge(walk, "/", error);
}

/* Opens the directory reached for reading, which O_PATH does not allow. */
static int arrive(const struct walk *walk, int *ret_fd, struct error *error)
{
    int fd = openat(walk->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(error, errno, "cannot open %s", walk->path);
    *ret_fd = fd;
    return 0;
}

static int walk_along(struct walk *walk, const char *path, int *ret_fd, struct error *error)
{
    if (start(walk, path, error) < 0)
        return -1;
    char *name = walk->path + strspn(walk->path, "/");
    while (*name) {
        char *end = name + strcspn(name, "/");
        char mark = *end;
        *end = '\0';
        if (enter(walk, name, error) < 0)
            return -1;
        *end = mark;
        name = end + strspn(end, "/");
    }
    return arrive(walk, ret_fd, error);
}

int directory_open_of(const char *path, uid_t uid, int *ret_fd, struct error *error)
{
    cleanup(walk_free) struct walk walk = {.fd = -1, .friend = uid};
    return walk_along(&walk, path, ret_fd, error);
}

int directory_open(const char *path, int *ret_fd, struct error *error)
{
    return directory_open_of(path, NOBODY, ret_fd, error);
}

int directory_make(const char *path, mode_t mode, uid_t uid, gid_t gid, int *ret_fd,
                   struct error *error)
{
    cleanup(walk_free) struct walk walk = {.fd = -1, .friend = uid, .make = true, .mode = mode};
    cleanup_close int fd = -1;
    if (walk_along(&walk, path, &fd, error) < 0)
        return -1;
    if (walk.made && file_settle(fd, mode, uid, gid) < 0)
        return fail_errno(error, errno, "cannot set the owner of %s", path);
    *ret_fd = steal_fd(&fd);
    return 0;
}
