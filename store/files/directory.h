/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GUESTS/VMID: the directory that a guest sees read-only at its bootstrap path. It belongs to the
 * guest's mapped root and is never replaced, as the guest's mount holds its inode; the files in it
 * are, by rename.
 */
#ifndef FELHOM_DIRECTORY_H
#define FELHOM_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"
#include "store/files/file.h"

#define GUEST_FILE_COUNT 4 /* token, bootstrap.json, controller.yaml, agent.crt */

/* The content of the four files; owned, freed and wiped by guest_files_free. */
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
 * right, clears away drafts that a killed run left, and writes the four drafts (0600, agent.crt
 * 0644). Nothing that the guest reads has changed yet. The caller publishes or frees them.
 */
int guest_drafts_write(const char *guests_dir, uint32_t vmid, uid_t uid, gid_t gid,
                       const struct guest_files *files, struct guest_drafts *ret,
                       struct error *error);

/* Renames all drafts into place. On tmpfs this cannot fail half-way but for a dying machine. */
int guest_drafts_publish(struct guest_drafts *drafts, struct error *error);

/* Drops what was not published and closes the directory. */
void guest_drafts_free(struct guest_drafts *drafts);

/* Removes token, bootstrap.json, controller.yaml and stray drafts; the directory and agent.crt
 * stay. No directory is no error. */
int guest_directory_scrub(const char *guests_dir, uint32_t vmid, struct error *error);

/* Scrubs and removes the directory itself (unenroll). */
int guest_directory_remove(const char *guests_dir, uint32_t vmid, struct error *error);

/*
 * One at a time works on a guest's token and directory. Proxmox sees to it with its own lock in
 * three of the four phases; post-stop, a rotation, and an operator who runs the hook by hand are
 * outside it. It is taken before the store's.
 */

/* Waits for the guest's lock; it is held until *ret_fd is closed. A hook's supervisor bounds the
 * wait, and how long another one waits for a hook. */
int guest_lock(const struct config *config, uint32_t vmid, int *ret_fd, struct error *error);

#endif
