/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing files as a program that runs as root must do it: no symbolic links are
 * followed in directories that others may write to, parent directories are verified, and readers
 * never see half-written files (a draft is written beside the file and then renamed).
 *
 * Owners are set only when this process is root; otherwise (in a demo) files belong to the user who
 * runs it, whatever uid and gid say.
 */
#ifndef FELHOM_FILE_H
#define FELHOM_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/error.h"

/*
 * Appends the content of a regular file, at most limit bytes, to out. A larger file or one of
 * another type fails with ERROR_INVALID, a missing one with ERROR_MISSING. Symbolic links are
 * followed, so use it only for paths under the operator's control (/etc/pve is full of links).
 */
int file_read(const char *path, size_t limit, struct buffer *out, struct error *error);

/* Like file_read, for NAME in an open directory, and without following a link (ERROR_DENIED). */
int file_read_at(int dirfd, const char *name, size_t limit, struct buffer *out,
                 struct error *error);

/*
 * Opens a directory. Every component of the path must be a real directory, not a link; it must
 * belong to root or to this process's user; and nobody else may have write permission, except in
 * sticky directories such as /tmp. Otherwise fails with ERROR_DENIED; a missing directory is
 * ERROR_MISSING. The caller closes *ret_fd.
 */
int directory_open(const char *path, int *ret_fd, struct error *error);

/* Like directory_open, but components may also belong to uid: for the state directory, which
 * belongs to the daemon's user. */
int directory_open_of(const char *path, uid_t uid, int *ret_fd, struct error *error);

/* Opens NAME in an open directory if it is a directory and not a link. The caller checks owner and
 * mode. path: the name for messages. */
int directory_open_at(int dirfd, const char *name, const char *path, int *ret_fd,
                      struct error *error);

/*
 * Creates a directory and its missing parents with the given mode, then opens it like
 * directory_open_of. Existing directories keep their mode and owner. If the last component is new,
 * it gets uid and gid ((uid_t)-1 and (gid_t)-1: unchanged). Clears the umask for a moment, so only
 * single-threaded programs may call it.
 */
int directory_make(const char *path, mode_t mode, uid_t uid, gid_t gid, int *ret_fd,
                   struct error *error);

/*
 * Opens RUN_DIR/NAME, a file that exists only to be locked with flock(); creates it (0600), and the
 * directory and its parents (0711), if they are missing. The directory must be one that
 * directory_open accepts. The caller closes *ret_fd.
 */
int file_open_lock(const char *run_dir, const char *name, int *ret_fd, struct error *error);

/*
 * Locks an open file or directory with flock(), for which it waits until deadline_us
 * (clock_steady_us) at most; then ERROR_BUSY. For locks that a user can hold for ever who may not
 * hold up root. The message names path.
 */
int file_lock_until(int fd, const char *path, int64_t deadline_us, struct error *error);

/* Writes all length bytes, with as many calls of write() as it takes. Returns -1 with errno set on
 * failure. */
int file_write_all(int fd, const char *bytes, size_t length);

/* A file that has been written but does not have its final name yet. Set name[0] to NUL before
 * first use. */
struct file_draft {
    int dirfd;      /* borrowed */
    char name[128]; /* the temporary name; "" if there is no draft */
};

/*
 * Writes bytes to a new temporary file in dirfd with the final mode and owner. durable: fsync the
 * file. On failure no file is left.
 */
int file_draft_write(int dirfd, const char *name, mode_t mode, uid_t uid, gid_t gid,
                     const void *bytes, size_t length, bool durable, struct file_draft *ret,
                     struct error *error);

/* Renames the draft to name and thereby replaces an existing file. durable: fsync the directory. */
int file_draft_publish(struct file_draft *draft, const char *name, bool durable,
                       struct error *error);

/* Deletes a draft that was not published; otherwise does nothing. Can be used with cleanup(). */
void file_draft_drop(struct file_draft *draft);

/* Returns true if the name is one of a draft. */
bool file_is_draft(const char *name);

/* Deletes all drafts in the directory, which processes that were killed have left. No other process
 * may be writing a draft there. */
int file_drafts_clear(int dirfd, struct error *error);

/* Sets mode and owner of an open file or directory if they differ ((uid_t)-1 and (gid_t)-1:
 * unchanged; owners are set only by root). Returns 0, or -1 with errno. */
int file_settle(int fd, mode_t mode, uid_t uid, gid_t gid);

/* file_draft_write and file_draft_publish in one. */
int file_replace_at(int dirfd, const char *name, mode_t mode, uid_t uid, gid_t gid,
                    const void *bytes, size_t length, bool durable, struct error *error);

/* A directory below the state directory, and the owner of everything created in it: both root's
 * hook and the unprivileged daemon work in these directories. */

struct owned_directory {
    int fd; /* -1: not open */
    char *path;
    uid_t uid;
    gid_t gid;
    bool only_looks; /* open for reading only; wrong owners are not corrected */
};

/* Closes the directory and frees the path. */
void owned_directory_close(struct owned_directory *directory);
#define cleanup_owned_directory cleanup(owned_directory_close)

/* By what it is noticed that a file is another one or was changed; all zero: there is none, or it
 * cannot be looked at. A symbolic link is not followed. */
struct file_mark {
    ino_t inode;
    struct timespec changed_at;
};
struct file_mark file_mark_of(const char *path);
bool file_mark_equals(const struct file_mark *one, const struct file_mark *other);

#endif
