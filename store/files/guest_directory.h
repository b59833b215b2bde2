/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GUESTS/VMID: the directory that a guest sees read-only at its bootstrap path, with the files
 * token, bootstrap.json, controller.yaml and agent.crt. It belongs to the guest's mapped root. The
 * directory itself is never replaced, because the guest's mount refers to its inode; files in it
 * are replaced by rename.
 *
 * pre-start fills the directory, post-stop removes the secrets, and `felhomctl rotate` and
 * `felhomctl identity` replace files while the guest runs. For a running guest, the directory is
 * more reliable than the guest's configuration, which may have changed since the start.
 */
#ifndef FELHOM_GUEST_DIRECTORY_H
#define FELHOM_GUEST_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/agent/config.h"
#include "schema/agent/token.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"
#include "store/files/file.h"

/*
 * Waits for the guest's lock, the file RUN/hook-VMID.lock, and holds it until *ret_fd is closed.
 * Everyone who changes a guest's token or directory must hold it. Proxmox's own lock does not
 * suffice: it covers only three of the four phases, not post-stop, a rotation, or an operator who
 * runs the hook by hand. Take this lock before the store's. There is no timeout; a hook that waits
 * too long is ended by its own deadline.
 */
int guest_directory_lock(const struct config *config, uint32_t vmid, int *ret_fd,
                         struct error *error);

/* --- filling and emptying it --- */

#define GUEST_FILE_COUNT 4 /* token, bootstrap.json, controller.yaml, agent.crt */

/* The content of the four files. controller_yaml may be empty: then there is no such file.
 * guest_files_free wipes and frees it. */
struct guest_files {
    struct buffer token;
    struct buffer bootstrap_json;
    struct buffer controller_yaml;
    struct buffer agent_crt;
};
void guest_files_free(struct guest_files *files);

/* Drafts of the files, which are published together. Initialise dirfd with -1. */
struct guest_drafts {
    int dirfd; /* of the guest's directory; -1: not open, and no drafts */
    int count; /* of the files: one less without controller.yaml */
    struct file_draft drafts[GUEST_FILE_COUNT];
};

/* Opens GUESTS_DIR/VMID; creates it if it is missing (0700, uid:gid; parents 0711), or corrects its
 * owner and mode. The caller closes *ret_fd. */
int guest_directory_open(const char *guests_dir, uint32_t vmid, uid_t uid, gid_t gid, int *ret_fd,
                         struct error *error);

/*
 * Writes drafts of the files (mode 0600, agent.crt 0644) into GUESTS_DIR/VMID: into the
 * directory ret->dirfd, which it takes over, or if that is -1, the one that guest_directory_open
 * opens. Removes drafts that killed processes have left. What the guest reads has not changed yet.
 * The caller publishes or frees the drafts.
 */
int guest_drafts_write(const char *guests_dir, uint32_t vmid, uid_t uid, gid_t gid,
                       const struct guest_files *files, struct guest_drafts *ret,
                       struct error *error);

/* Renames all drafts to their final names, and removes an older controller.yaml if there is no
 * draft of it. On tmpfs this fails half-way only if the machine crashes. */
int guest_drafts_publish(struct guest_drafts *drafts, struct error *error);

/* Deletes drafts that were not published and closes the directory. */
void guest_drafts_free(struct guest_drafts *drafts);

/*
 * Creates GUESTS_DIR/VMID without files if it is missing, so that it can be mounted before the
 * guest's next start fills it. An existing directory keeps owner and mode. *ret_made: the directory
 * was created now.
 */
int guest_directory_make(const char *guests_dir, uint32_t vmid, uid_t uid, gid_t gid,
                         bool *ret_made, struct error *error);

/* Removes token, bootstrap.json, controller.yaml and all drafts; keeps the directory and agent.crt.
 * A missing directory is no failure. */
int guest_directory_scrub(const char *guests_dir, uint32_t vmid, struct error *error);

/* Checks that guest_directory_remove would not fail: ERROR_CONFLICT if the directory contains other
 * files. */
int guest_directory_check_removable(const char *guests_dir, uint32_t vmid, struct error *error);

/* Removes all four files and the directory. ERROR_CONFLICT if it contains other files. */
int guest_directory_remove(const char *guests_dir, uint32_t vmid, struct error *error);

/* --- reading it --- */

/* What the guest's last start has left in its directory. */
struct guest_directory {
    bool exists;
    bool live; /* token and bootstrap.json are there, so no stop has begun to remove them */
    uid_t uid; /* uid, gid: the directory's owner */
    gid_t gid;
    char token_id[TOKEN_ID_LENGTH + 1]; /* of the token in it; "" if there is no valid one */
};

/* Inspects GUESTS_DIR/VMID, which must be a real directory below verified parents. If it does not
 * exist, ret->live is false. */
int guest_directory_inspect(const char *guests_dir, uint32_t vmid, struct guest_directory *ret,
                            struct error *error);

/* Does the same and hands out the token, unless ret->token_id is "". The caller wipes *ret_token
 * with token_text_wipe, whatever is returned. */
int guest_directory_inspect_token(const char *guests_dir, uint32_t vmid,
                                  struct guest_directory *ret, struct token_text *ret_token,
                                  struct error *error);

/* Appends the content of one of the files to out. ERROR_MISSING if the file or the directory does
 * not exist. */
int guest_directory_read(const char *guests_dir, uint32_t vmid, const char *name,
                         struct buffer *out, struct error *error);

/* Reads the token in the directory. ERROR_INVALID if the file does not contain a token. The caller
 * wipes *ret with token_text_wipe. */
int guest_directory_read_token(const char *guests_dir, uint32_t vmid, struct token_text *ret,
                               struct error *error);

#endif
