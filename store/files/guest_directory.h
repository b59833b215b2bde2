/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GUESTS/VMID: the directory that a guest sees read-only at its bootstrap path. It belongs to the
 * guest's mapped root and is never replaced, as the guest's mount holds its inode; the files in it
 * are, by rename.
 *
 * pre-start fills it, post-stop takes the secrets away, rotate and identity give it new files while
 * the guest runs. What stands in it tells more of a running guest than the guest's configuration
 * does: that may have changed since the start.
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
 * Waits for the guest's lock, RUN/hook-VMID.lock, which is held until *ret_fd is closed. Whoever
 * works on a guest's token and directory holds it: Proxmox's own lock covers three of the four
 * phases only, and neither post-stop, a rotation, nor an operator who runs the hook by hand. It is
 * taken before the store's lock. The wait has no end of its own: a hook's deadline ends the hook.
 */
int guest_directory_lock(const struct config *config, uint32_t vmid, int *ret_fd,
                         struct error *error);

/* --- filling and emptying it --- */

#define GUEST_FILE_COUNT 4 /* token, bootstrap.json, controller.yaml, agent.crt */

/* The content of the four files; freed and wiped by guest_files_free. */
struct guest_files {
    struct buffer token;
    struct buffer bootstrap_json;
    struct buffer controller_yaml;
    struct buffer agent_crt;
};
void guest_files_free(struct guest_files *files);

/* Files written beside their names, to be published together. */
struct guest_drafts {
    int dirfd; /* -1: none */
    struct file_draft drafts[GUEST_FILE_COUNT];
};

/*
 * Makes GUESTS_DIR/VMID where it is missing (0700, uid:gid; parents 0711), sets its owner and mode
 * right, removes drafts that a killed run left, and writes the four drafts (0600, agent.crt 0644).
 * Nothing that the guest reads has changed yet. The caller publishes the drafts or frees them.
 */
int guest_drafts_write(const char *guests_dir, uint32_t vmid, uid_t uid, gid_t gid,
                       const struct guest_files *files, struct guest_drafts *ret,
                       struct error *error);

/* Renames all drafts into place. On tmpfs this cannot fail half-way unless the machine dies. */
int guest_drafts_publish(struct guest_drafts *drafts, struct error *error);

/* Drops what was not published and closes the directory. */
void guest_drafts_free(struct guest_drafts *drafts);

/* Makes GUESTS_DIR/VMID, empty, so that it can be mounted before the guest's next start fills it.
 * An existing one keeps its owner and mode. *ret_made: it was missing. */
int guest_directory_make(const char *guests_dir, uint32_t vmid, uid_t uid, gid_t gid,
                         bool *ret_made, struct error *error);

/* Removes token, bootstrap.json, controller.yaml and stray drafts; the directory and agent.crt
 * stay. No directory is no error. */
int guest_directory_scrub(const char *guests_dir, uint32_t vmid, struct error *error);

/* Removes all four files and the directory itself. ERROR_CONFLICT where it holds other files. */
int guest_directory_remove(const char *guests_dir, uint32_t vmid, struct error *error);

/* --- reading it --- */

/* What the guest's last start has left in it. */
struct guest_directory {
    bool live; /* all that a guest reads is there, so no stop has begun to remove it */
    uid_t uid; /* the directory's owner */
    gid_t gid;
    char token_id[TOKEN_ID_LENGTH + 1]; /* of the token in it; "" if the file holds none */
};

/* Inspects GUESTS_DIR/VMID, which must be a directory and no link, below verified parents. Where
 * there is none, *ret is not live. */
int guest_directory_inspect(const char *guests_dir, uint32_t vmid, struct guest_directory *ret,
                            struct error *error);

/* Adds the content of one of its files. ERROR_MISSING where the file or the directory is not there.
 */
int guest_directory_read(const char *guests_dir, uint32_t vmid, const char *name,
                         struct buffer *out, struct error *error);

/* Reads the token in it. ERROR_INVALID where the file holds none. The caller wipes *ret. */
int guest_directory_read_token(const char *guests_dir, uint32_t vmid, struct token_text *ret,
                               struct error *error);

#endif
