/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's configuration file, PVE/lxc/VMID.conf or PVE/qemu-server/VMID.conf: read, changed line
 * by line and written again while Proxmox's own lock is held. A change leaves every other byte as
 * it was (comments, snapshots, CRLF, a missing final newline). Contract for the text:
 * PVE::LXC::Config::parse_pct_config.
 */
#ifndef FELHOM_PVE_CONFIG_H
#define FELHOM_PVE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"
#include "schema/pve/guest_config.h"

/* Returns false on a scratch host, where other files take the place of those in /etc/pve. */
bool pve_is_real(const struct config *config);

/* --- the file --- */

#define PVE_CONFIG_WAIT_MS 10000 /* as long as Proxmox itself waits for its lock */

struct pve_config {
    int lock_fd;
    int dirfd;
    char name[32];
    struct buffer text; /* the caller changes it before pve_config_write */
};

/* ERROR_CONFLICT if Proxmox has locked the guest (backup, migration, ...). */
int pve_config_check_unlocked(uint32_t vmid, const struct guest_config *guest, struct error *error);

/*
 * Takes the lock of the guest's file and reads it. ERROR_BUSY where somebody else holds the lock
 * for all of wait_ms; ERROR_CONFLICT where Proxmox has the guest locked (backup, migration, ...);
 * ERROR_MISSING where this node has no such guest. The caller closes it with pve_config_close.
 */
int pve_config_open(const struct config *config, enum guest_kind kind, uint32_t vmid,
                    uint32_t wait_ms, struct pve_config *ret, struct error *error);

/* Like pve_config_open, but even if Proxmox has locked the guest. */
int pve_config_hold(const struct config *config, enum guest_kind kind, uint32_t vmid,
                    uint32_t wait_ms, struct pve_config *ret, struct error *error);

/* Replaces the file's content by file->text. */
int pve_config_write(const struct pve_config *file, struct error *error);

/* Releases the lock and frees the text. */
void pve_config_close(struct pve_config *file);

#define PVE_CONFIG_CLOSED  ((struct pve_config){.lock_fd = -1, .dirfd = -1})
#define cleanup_pve_config cleanup(pve_config_close)

/*
 * Replaces NAME in an open directory below /etc/pve by way of NAME.tmp.PID, in place of one that a
 * dead process left. Proxmox's cluster file system sets owners and modes itself and refuses all
 * others; on any other file system the file gets this mode and, if there was such a file before,
 * its owner. The caller keeps other writers away.
 */
int pve_file_replace(int dirfd, const char *name, mode_t mode, const struct buffer *content,
                     struct error *error);

/* --- the lines of its text --- */

/* The position of a line in the text. Zero-initialised, it is before the first line. */
struct config_line {
    size_t start;
    size_t size;         /* with its line end */
    size_t key_length;   /* the key begins at start; 0: a blank, a comment, what Proxmox skips */
    size_t value_start;  /* behind the separator and blanks */
    size_t value_length; /* without trailing blanks */
};

/* Moves to the next line of the live section. Returns false at the section's end and leaves *line
 * unchanged. */
bool config_line_next(const struct buffer *text, struct config_line *line);

/* Return copies of a line's key and value, which the caller frees with free(); "" if the line has
 * no key. */
char *config_line_key(const struct buffer *text, const struct config_line *line);
char *config_line_value(const struct buffer *text, const struct config_line *line);

/* Returns true if any section has a line "KEY:", including those of snapshots and pending
 * changes. */
bool config_text_mentions(const struct buffer *text, const char *key);

/* Adds "KEY: VALUE" after the last non-blank line of the live section, with the line end that the
 * text uses. */
void config_text_insert(struct buffer *text, const char *key, const char *value);

/* Takes a key's change out of the section of pending changes, so that the next start leaves the key
 * as it is. */
void config_text_unpend(struct buffer *text, const char *key);

/* Removes the line. *line is then the line's former position: config_line_next moves to the line
 * after it. */
void config_text_remove(struct buffer *text, struct config_line *line);

#endif
