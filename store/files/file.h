/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files as a root program must handle them: no symbolic link is followed, parents are verified,
 * nothing is ever seen half-written. Owners are set by root alone: what an ordinary user makes (in
 * a demo) stays that user's, whatever uid:gid says.
 */
#ifndef FELHOM_FILE_H
#define FELHOM_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/error.h"

/*
 * Adds the content of a file, at most limit bytes (more: ERROR_INVALID), to out. ERROR_MISSING
 * where there is no such file. Symbolic links are followed: it is for paths under the operator's
 * hand (/etc/pve is full of links). Only regular files.
 */
int file_read(const char *path, size_t limit, struct buffer *out, struct error *error);

/* The same for NAME in an open directory, without following a link. */
int file_read_at(int dirfd, const char *name, size_t limit, struct buffer *out,
                 struct error *error);

/*
 * Opens a directory of which every component is a real directory (no link) that belongs to root or
 * to this process's user and that nobody else may write to (unless sticky, as /tmp). Returns 0 and
 * the descriptor in *ret_fd, the caller's to close.
 */
int directory_open(const char *path, int *ret_fd, struct error *error);

/* The same, but components may belong to one more user: for the state directory, which is the
 * daemon's. */
int directory_open_of(const char *path, uid_t uid, int *ret_fd, struct error *error);

/* Opens NAME in an open directory if it is a directory and no link; its owner and mode are the
 * caller's to judge. Messages call it path. */
int directory_open_at(int dirfd, const char *name, const char *path, int *ret_fd,
                      struct error *error);

/*
 * Makes a directory and the parents it lacks, all with the given mode, below what is there already,
 * then opens it like directory_open_of. An existing directory keeps its mode and owner. A new last
 * component gets uid:gid ((uid_t)-1: left alone). Lifts the umask for a moment: not for threads.
 */
int directory_make(const char *path, mode_t mode, uid_t uid, gid_t gid, int *ret_fd,
                   struct error *error);

/* Writes all length bytes, however many calls it takes. -1 with errno set on failure. */
int file_write_all(int fd, const char *bytes, size_t length);

/* A file that is being written beside its final name. Zero-initialise name[0]. */
struct file_draft {
    int dirfd;      /* borrowed */
    char name[128]; /* the temporary name; "" when there is nothing to drop */
};

/*
 * Writes bytes to a fresh temporary file in dirfd with the final mode and owner, not yet under its
 * name. durable: fsync it. On failure nothing is left behind.
 */
int file_draft_write(int dirfd, const char *name, mode_t mode, uid_t uid, gid_t gid,
                     const void *bytes, size_t length, bool durable, struct file_draft *ret,
                     struct error *error);

/* Renames the draft to name, replacing what is there. durable: fsync the directory. */
int file_draft_publish(struct file_draft *draft, const char *name, bool durable,
                       struct error *error);

/* Removes a draft that was not published; nothing otherwise. Fits cleanup(). */
void file_draft_drop(struct file_draft *draft);

/* Removes every draft from the directory: those that a killed run left, as long as nobody else is
 * writing one. */
int file_drafts_clear(int dirfd, struct error *error);

/* Sets owner (root only; (uid_t)-1 and (gid_t)-1: left alone) and mode of an open file or directory
 * where they differ. 0, or -1 with errno. */
int file_settle(int fd, mode_t mode, uid_t uid, gid_t gid);

/* Both steps at once. */
int file_replace_at(int dirfd, const char *name, mode_t mode, uid_t uid, gid_t gid,
                    const void *bytes, size_t length, bool durable, struct error *error);

/* A directory below the state directory, and the owner of all that is made in it: root's hook and
 * the unprivileged daemon work in the same ones. */

struct owned_directory {
    int fd; /* -1: not open */
    char *path;
    uid_t uid;
    gid_t gid;
    bool only_looks; /* only read: what belongs to somebody else is left alone */
};

/* Closes and frees. */
void owned_directory_close(struct owned_directory *directory);
#define cleanup_owned_directory cleanup(owned_directory_close)

#endif
