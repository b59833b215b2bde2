/* SPDX-License-Identifier: Apache-2.0 */
#include "store/files/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/file.h"

/* Verified ways to a directory: each component is opened from the one before, so what was judged is
 * what is used. */

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

#define PARENT_MODE    0711 /* the mount is made by the guest's own user, who must get through */
#define DIRECTORY_MODE 0700

/* In the order in which they are published. */
static const struct guest_file {
    const char *name;
    size_t content; /* where its buffer stands in struct guest_files */
    mode_t mode;
    bool secret; /* goes when the guest stops */
} contents[GUEST_FILE_COUNT] = {
    {"agent.crt", offsetof(struct guest_files, agent_crt), 0644, false},
    {"controller.yaml", offsetof(struct guest_files, controller_yaml), 0600, true},
    {"bootstrap.json", offsetof(struct guest_files, bootstrap_json), 0600, true},
    {"token", offsetof(struct guest_files, token), 0600, true},
};

/* A guest's directory and the one it stands in, both open, or -1. */
struct guest_place {
    int parent;
    int fd;
    char name[sizeof "4294967295"];
    char *path; /* for messages */
};

static void guest_place_free(struct guest_place *place)
{
    cleanup_close_fn(&place->parent);
    cleanup_close_fn(&place->fd);
    free(place->path);
}
#define cleanup_guest_place cleanup(guest_place_free)

static struct guest_place guest_place_of(const char *guests_dir, uint32_t vmid)
{
    struct guest_place place = {.parent = -1, .fd = -1};
    (void)snprintf(place.name, sizeof place.name, "%u", vmid);
    place.path = mem_format("%s/%u", guests_dir, vmid);
    return place;
}

void guest_files_free(struct guest_files *files)
{
    buffer_free(&files->token);
    buffer_free(&files->bootstrap_json);
    buffer_free(&files->controller_yaml);
    buffer_free(&files->agent_crt);
}

/* Makes what is missing; what is there stays the same inode, as the guest's mount holds it. */
static int guest_place_make(struct guest_place *place, const char *guests_dir, uid_t uid, gid_t gid,
                            struct error *error)
{
    if (directory_make(guests_dir, PARENT_MODE, NOBODY, NOBODY, &place->parent, error) < 0)
        return -1;
    if (mkdirat(place->parent, place->name, DIRECTORY_MODE) < 0 && errno != EEXIST)
        return fail_errno(error, errno, "cannot make %s", place->path);
    if (directory_open_at(place->parent, place->name, place->path, &place->fd, error) < 0)
        return -1;
    if (file_settle(place->fd, DIRECTORY_MODE, uid, gid) < 0)
        return fail_errno(error, errno, "cannot set owner and mode of %s", place->path);
    return 0;
}

/* Leaves place->fd at -1 where there is no directory. */
static int guest_place_find(struct guest_place *place, const char *guests_dir, struct error *error)
{
    struct error problem;
    if (directory_open(guests_dir, &place->parent, &problem) == 0 &&
        directory_open_at(place->parent, place->name, place->path, &place->fd, &problem) == 0)
        return 0;
    if (problem.kind == ERROR_MISSING)
        return 0;
    *error = problem;
    return -1;
}

static int draft_write(const struct guest_file *file, const struct guest_files *files, uid_t uid,
                       gid_t gid, int dirfd, struct file_draft *ret, struct error *error)
{
    const struct buffer *content =
        (const struct buffer *)(const void *)((const char *)files + file->content);
    return file_draft_write(dirfd, file->name, file->mode, uid, gid, content->data, content->length,
                            false, ret, error);
}

int guest_drafts_write(const char *guests_dir, uint32_t vmid, uid_t uid, gid_t gid,
                       const struct guest_files *files, struct guest_drafts *ret,
                       struct error *error)
{
    cleanup_guest_place struct guest_place place = guest_place_of(guests_dir, vmid);
    cleanup(guest_drafts_free) struct guest_drafts drafts = {.dirfd = -1};
    if (guest_place_make(&place, guests_dir, uid, gid, error) < 0)
        return -1;
    drafts.dirfd = steal_fd(&place.fd);
    if (file_drafts_clear(drafts.dirfd, error) < 0)
        return fail_context(error, "%s", place.path);
    for (size_t i = 0; i < GUEST_FILE_COUNT; i++) {
        if (draft_write(&contents[i], files, uid, gid, drafts.dirfd, &drafts.drafts[i], error) < 0)
            return fail_context(error, "%s", place.path);
    }
    *ret = drafts;
    drafts.dirfd = -1;
    return 0;
}

int guest_drafts_publish(struct guest_drafts *drafts, struct error *error)
{
    for (size_t i = 0; i < GUEST_FILE_COUNT; i++) {
        if (file_draft_publish(&drafts->drafts[i], contents[i].name, false, error) < 0)
            return -1;
    }
    return 0;
}

void guest_drafts_free(struct guest_drafts *drafts)
{
    if (drafts->dirfd < 0)
        return;
    for (size_t i = 0; i < GUEST_FILE_COUNT; i++)
        file_draft_drop(&drafts->drafts[i]);
    (void)close(drafts->dirfd);
    drafts->dirfd = -1;
}

static int remove_file(const struct guest_place *place, const char *name, struct error *error)
{
    if (unlinkat(place->fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    return fail_errno(error, errno, "cannot remove %s/%s", place->path, name);
}

/* One that cannot be removed does not keep the others from going. */
static int remove_files(const struct guest_place *place, bool only_secrets, struct error *error)
{
    int result = file_drafts_clear(place->fd, error);
    if (result < 0)
        (void)fail_context(error, "%s", place->path);
    for (size_t i = 0; i < GUEST_FILE_COUNT; i++) {
        bool goes = contents[i].secret || !only_secrets;
        if (goes && remove_file(place, contents[i].name, error) < 0)
            result = -1;
    }
    return result;
}

int guest_directory_scrub(const char *guests_dir, uint32_t vmid, struct error *error)
{
    cleanup_guest_place struct guest_place place = guest_place_of(guests_dir, vmid);
    if (guest_place_find(&place, guests_dir, error) < 0)
        return -1;
    return place.fd < 0 ? 0 : remove_files(&place, true, error);
}

int guest_directory_remove(const char *guests_dir, uint32_t vmid, struct error *error)
{
    cleanup_guest_place struct guest_place place = guest_place_of(guests_dir, vmid);
    if (guest_place_find(&place, guests_dir, error) < 0)
        return -1;
    if (place.fd < 0)
        return 0;
    if (remove_files(&place, false, error) < 0)
        return -1;
    if (unlinkat(place.parent, place.name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno == ENOTEMPTY)
        return fail(error, ERROR_CONFLICT,
                    "%s holds files that are not the agent's: look at them, then remove it",
                    place.path);
    return fail_errno(error, errno, "cannot remove %s", place.path);
}
