/* SPDX-License-Identifier: Apache-2.0 */
#include "store/files/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/clock.h"

void owned_directory_close(struct owned_directory *directory)
{
    cleanup_close_fn(&directory->fd);
    free(directory->path);
}

/* O_NONBLOCK and O_NOCTTY: opening a FIFO must not wait, and opening a terminal must not take it
 * over. */
#define READ_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* The draft of NAME is called ".NAME." followed by this many hexadecimal digits. */
#define DRAFT_DIGITS   16
#define DRAFT_ATTEMPTS 8

/* Reads to the end of the file, but at most one byte more than limit. */
static int file_read_to_end(int fd, size_t limit, struct buffer *out)
{
    ssize_t count = 1;
    while (count > 0 && out->length <= limit) {
        char *room = buffer_reserve(out, 1);
        size_t spare = out->capacity - out->length - 1;
        size_t left = limit - out->length;
        count = TEMP_FAILURE_RETRY(read(fd, room, left < spare ? left + 1 : spare));
        out->length += count > 0 ? (size_t)count : 0;
    }
    return count < 0 ? -1 : 0;
}

static int file_read_regular(int fd, const char *path, size_t limit, struct buffer *out,
                             struct error *error)
{
    struct stat status;
    cleanup_buffer struct buffer content = BUFFER_EMPTY;
    if (fstat(fd, &status) < 0)
        return fail_errno(error, errno, "cannot look at %s", path);
    if (!S_ISREG(status.st_mode))
        return fail(error, ERROR_INVALID, "%s: not a regular file", path);
    /* Reserves only as much as the file needs, because the whole buffer is wiped in the end. */
    (void)buffer_reserve(&content, (size_t)status.st_size < limit ? (size_t)status.st_size + 1 : 1);
    if (file_read_to_end(fd, limit, &content) < 0)
        return fail_errno(error, errno, "cannot read %s", path);
    if (content.length > limit)
        return fail(error, ERROR_INVALID, "%s: larger than %zu bytes", path, limit);
    buffer_add(out, content.data, content.length);
    return 0;
}

int file_read(const char *path, size_t limit, struct buffer *out, struct error *error)
{
    cleanup_close int fd = open(path, READ_FLAGS);
    if (fd < 0 && errno == ENOENT)
        return fail(error, ERROR_MISSING, "%s: no such file", path);
    if (fd < 0)
        return fail_errno(error, errno, "cannot open %s", path);
    return file_read_regular(fd, path, limit, out, error);
}

int file_read_at(int dirfd, const char *name, size_t limit, struct buffer *out, struct error *error)
{
    cleanup_close int fd = openat(dirfd, name, READ_FLAGS | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return fail(error, ERROR_MISSING, "%s: no such file", name);
    if (fd < 0 && errno == ELOOP)
        return fail(error, ERROR_DENIED, "%s: a symbolic link, which is not followed here", name);
    if (fd < 0)
        return fail_errno(error, errno, "cannot open %s", name);
    return file_read_regular(fd, name, limit, out, error);
}

int file_settle(int fd, mode_t mode, uid_t uid, gid_t gid)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -1;
    bool same_user = uid == (uid_t)-1 || uid == status.st_uid;
    bool same_group = gid == (gid_t)-1 || gid == status.st_gid;
    if (geteuid() == 0 && !(same_user && same_group) && fchown(fd, uid, gid) < 0)
        return -1;
    return (status.st_mode & 07777) == mode ? 0 : fchmod(fd, mode);
}

/* Random names cannot be guessed, so nobody can create the file first. */
static int draft_name(const char *name, struct file_draft *draft)
{
    uint64_t number = 0;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        return -1;
    int length =
        snprintf(draft->name, sizeof draft->name, ".%s.%0*" PRIx64, name, DRAFT_DIGITS, number);
    if (length >= 0 && (size_t)length < sizeof draft->name)
        return 0;
    errno = ENAMETOOLONG;
    return -1;
}

/* Creates the draft with mode 0, so that nobody can open it before it has the right owner. */
static int draft_create(const char *name, struct file_draft *draft)
{
    int fd = -1;
    for (int attempt = 0; fd < 0 && attempt < DRAFT_ATTEMPTS; attempt++) {
        if (draft_name(name, draft) < 0)
            return -1;
        fd = openat(draft->dirfd, draft->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    0);
        if (fd < 0 && errno != EEXIST)
            return -1;
    }
    return fd;
}

int file_write_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t count = TEMP_FAILURE_RETRY(write(fd, bytes, length));
        if (count < 0)
            return -1;
        bytes += count;
        length -= (size_t)count;
    }
    return 0;
}

/* Sets owner and mode before the content is written, so that nobody else can read it at any
 * moment. */
static int draft_fill(int fd, mode_t mode, uid_t uid, gid_t gid, const void *bytes, size_t length,
                      bool durable)
{
    if (file_settle(fd, mode, uid, gid) < 0)
        return -1;
    if (file_write_all(fd, bytes, length) < 0)
        return -1;
    return durable ? fsync(fd) : 0;
}

int file_draft_write(int dirfd, const char *name, mode_t mode, uid_t uid, gid_t gid,
                     const void *bytes, size_t length, bool durable, struct file_draft *ret,
                     struct error *error)
{
    struct file_draft draft = {.dirfd = dirfd};
    cleanup_close int fd = draft_create(name, &draft);
    if (fd < 0)
        return fail_errno(error, errno, "cannot make a draft of %s", name);
    if (draft_fill(fd, mode, uid, gid, bytes, length, durable) < 0) {
        int errnum = errno;
        file_draft_drop(&draft);
        return fail_errno(error, errnum, "cannot write %s", name);
    }
    *ret = draft;
    return 0;
}

int file_draft_publish(struct file_draft *draft, const char *name, bool durable,
                       struct error *error)
{
    if (renameat(draft->dirfd, draft->name, draft->dirfd, name) < 0)
        return fail_errno(error, errno, "cannot put %s in place", name);
    draft->name[0] = '\0';
    if (durable && fsync(draft->dirfd) < 0)
        return fail_errno(error, errno, "cannot make %s durable", name);
    return 0;
}

void file_draft_drop(struct file_draft *draft)
{
    if (draft->name[0])
        (void)unlinkat(draft->dirfd, draft->name, 0);
    draft->name[0] = '\0';
}

int file_replace_at(int dirfd, const char *name, mode_t mode, uid_t uid, gid_t gid,
                    const void *bytes, size_t length, bool durable, struct error *error)
{
    cleanup(file_draft_drop) struct file_draft draft = {.name = ""};
    if (file_draft_write(dirfd, name, mode, uid, gid, bytes, length, durable, &draft, error) < 0)
        return -1;
    return file_draft_publish(&draft, name, durable, error);
}

bool file_is_draft(const char *entry)
{
    const char *digits = strrchr(entry, '.');
    if (entry[0] != '.' || digits - entry < 2)
        return false;
    digits++;
    return strlen(digits) == DRAFT_DIGITS && strspn(digits, "0123456789abcdef") == DRAFT_DIGITS;
}

/* Opens a new descriptor, because reading a directory moves the descriptor's offset. */
static DIR *directory_stream_open(int dirfd)
{
    cleanup_close int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (directory)
        (void)steal_fd(&fd);
    return directory;
}

int file_drafts_clear(int dirfd, struct error *error)
{
    cleanup_directory DIR *directory = directory_stream_open(dirfd);
    if (!directory)
        return fail_errno(error, errno, "cannot look for drafts");
    errno = 0;
    for (const struct dirent *entry; (entry = readdir(directory)); errno = 0) {
        if (file_is_draft(entry->d_name) && unlinkat(dirfd, entry->d_name, 0) < 0 &&
            errno != ENOENT)
            return fail_errno(error, errno, "cannot remove the draft %s", entry->d_name);
    }
    return errno ? fail_errno(error, errno, "cannot look for drafts") : 0;
}

/* --- verified directories: each component is opened relative to the one before, so the directory
 * that was checked is the one that is used --- */

#define NOBODY       ((uid_t)-1)
#define OVERFLOW_UID 65534

/* The state of a walk from "/" along a path. */
struct walk {
    int fd;       /* the current directory */
    char *path;   /* path up to the current directory, for messages */
    uid_t friend; /* one more trusted owner beside root and this process's user; NOBODY: none */
    bool make;    /* create missing directories */
    mode_t mode;  /* of created directories */
    bool made;    /* the current directory was created now */
};

static void walk_free(struct walk *walk)
{
    cleanup_close_fn(&walk->fd);
    free(walk->path);
}

static int directory_fail_not_directory(int dirfd, const char *name, const char *path,
                                        struct error *error)
{
    struct stat status;
    if (fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode))
        return fail(error, ERROR_DENIED,
                    "%s is a symbolic link: put a directory in its place, or name the directory it "
                    "points to",
                    path);
    return fail(error, ERROR_DENIED, "%s is not a directory: move it out of the way", path);
}

static int directory_open_component(int dirfd, const char *name, const char *path, int flags,
                                    int *ret_fd, struct error *error)
{
    int fd = openat(dirfd, name, flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return fail(error, ERROR_MISSING, "%s: no such directory", path);
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
        return directory_fail_not_directory(dirfd, name, path, error);
    if (fd < 0)
        return fail_errno(error, errno, "cannot open %s", path);
    *ret_fd = fd;
    return 0;
}

int directory_open_at(int dirfd, const char *name, const char *path, int *ret_fd,
                      struct error *error)
{
    return directory_open_component(dirfd, name, path, O_RDONLY, ret_fd, error);
}

/*
 * In a user namespace, every user who is not mapped appears with this id, the host's root among
 * them. Users in the namespace cannot act as any of the unmapped users, so such an owner is as
 * trustworthy as root.
 */
static bool uid_is_unmapped(uid_t uid)
{
    char map[64] = ""; /* first id inside, first id outside, count */
    cleanup_close int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    if (uid != OVERFLOW_UID || fd < 0 || read(fd, map, sizeof map - 1) < 0)
        return false;
    char *rest = map;
    (void)strtoul(rest, &rest, 10);
    (void)strtoul(rest, &rest, 10);
    unsigned long count = strtoul(rest, &rest, 10);
    return count > 0 && count < OVERFLOW_UID;
}

static bool walk_trusts(const struct walk *walk, uid_t owner)
{
    return owner == 0 || owner == geteuid() || owner == walk->friend || uid_is_unmapped(owner);
}

static int walk_check(const struct walk *walk, const char *path, struct error *error)
{
    struct stat status;
    if (fstat(walk->fd, &status) < 0)
        return fail_errno(error, errno, "cannot look at %s", path);
    if (!walk_trusts(walk, status.st_uid))
        return fail(error, ERROR_DENIED,
                    "%s belongs to uid %u, who could replace what is in it: chown root %s", path,
                    status.st_uid, path);
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) && !(status.st_mode & S_ISVTX))
        return fail(error, ERROR_DENIED,
                    "%s may be written to by others (mode %04o): chmod go-w %s", path,
                    status.st_mode & 07777, path);
    return 0;
}

/* Opens the next component with O_PATH, because directories on the way need not be readable. */
static int walk_open_next(const struct walk *walk, const char *name, int *ret_fd,
                          struct error *error)
{
    return directory_open_component(walk->fd, name, walk->path, O_PATH, ret_fd, error);
}

/* Clears the umask for the call, so that the directory has the right mode even if this process is
 * killed right after it. */
static int walk_make_next(struct walk *walk, const char *name, int *ret_fd, struct error *error)
{
    mode_t mask = umask(0);
    walk->made = mkdirat(walk->fd, name, walk->mode) == 0;
    int errnum = errno;
    (void)umask(mask);
    if (!walk->made && errnum != EEXIST)
        return fail_errno(error, errnum, "cannot make %s", walk->path);
    return walk_open_next(walk, name, ret_fd, error);
}

static int walk_enter(struct walk *walk, const char *name, struct error *error)
{
    int fd = -1;
    struct error problem;
    int result = walk_open_next(walk, name, &fd, &problem);
    walk->made = false;
    if (result < 0 && problem.kind == ERROR_MISSING && walk->make)
        result = walk_make_next(walk, name, &fd, &problem);
    if (result < 0) {
        *error = problem;
        return -1;
    }
    (void)close(walk->fd);
    walk->fd = fd;
    return walk_check(walk, walk->path, error);
}

static int walk_start(struct walk *walk, const char *path, struct error *error)
{
    walk->path = mem_copy_text(path);
    if (path[0] != '/')
        return fail(error, ERROR_INVALID, "%s: not an absolute path", path);
    walk->fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (walk->fd < 0)
        return fail_errno(error, errno, "cannot open /");
    return walk_check(walk, "/", error);
}

/* Opens the last directory for reading; the walk's descriptor is O_PATH. */
static int walk_finish(const struct walk *walk, int *ret_fd, struct error *error)
{
    int fd = openat(walk->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(error, errno, "cannot open %s", walk->path);
    *ret_fd = fd;
    return 0;
}

static int walk_along(struct walk *walk, const char *path, int *ret_fd, struct error *error)
{
    if (walk_start(walk, path, error) < 0)
        return -1;
    char *name = walk->path + strspn(walk->path, "/");
    while (*name) {
        char *end = name + strcspn(name, "/");
        char mark = *end;
        *end = '\0';
        if (walk_enter(walk, name, error) < 0)
            return -1;
        *end = mark;
        name = end + strspn(end, "/");
    }
    return walk_finish(walk, ret_fd, error);
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

int file_open_lock(const char *run_dir, const char *name, int *ret_fd, struct error *error)
{
    cleanup_close int run = -1;
    if (directory_make(run_dir, 0711, NOBODY, (gid_t)-1, &run, error) < 0)
        return -1;
    int fd = openat(run, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_errno(error, errno, "%s/%s", run_dir, name);
    *ret_fd = fd;
    return 0;
}

/* A lock is held for less than a millisecond, unless its holder is stuck. */
#define LOCK_PAUSE_FIRST_NS   100000
#define LOCK_PAUSE_LONGEST_NS 20000000

int file_lock_until(int fd, const char *path, int64_t deadline_us, struct error *error)
{
    struct timespec pause = {.tv_nsec = LOCK_PAUSE_FIRST_NS};
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return fail_errno(error, errno, "cannot lock %s", path);
        if (clock_steady_us() >= deadline_us)
            return fail(error, ERROR_BUSY,
                        "another process holds the lock of %s: `fuser -v %s` shows it; if it does "
                        "not end by itself, end it (felhomd: `systemctl restart felhomd`)",
                        path, path);
        (void)nanosleep(&pause, NULL);
        if (pause.tv_nsec < LOCK_PAUSE_LONGEST_NS)
            pause.tv_nsec *= 2;
    }
    return 0;
}

struct file_mark file_mark_of(const char *path)
{
    struct stat status = {0};
    (void)lstat(path, &status);
    return (struct file_mark){status.st_ino, status.st_ctim};
}

bool file_mark_equals(const struct file_mark *one, const struct file_mark *other)
{
    return one->inode == other->inode && one->changed_at.tv_sec == other->changed_at.tv_sec &&
           one->changed_at.tv_nsec == other->changed_at.tv_nsec;
}
