/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines of a guest's configuration that are ours: the hookscript, and the line that mounts the
 * guest's directory. How they read, how they are recognised, and what enroll and unenroll change to
 * bring the text to what is wanted.
 */
#ifndef FELHOM_GUEST_LINES_H
#define FELHOM_GUEST_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"
#include "schema/pve/guest_config.h"
#include "store/files/guest_mount.h"

/* Returns true if the line mounts the guest's directory as enroll would write it; an mp may have
 * more options. */
bool guest_lines_mount_is_right(const struct config *config, enum mount_form form, uint32_t vmid,
                                const char *key, const char *value);

/* Returns the form in which the guest mounts its own directory from its next start on: a mount
 * point that is pending to be removed or replaced does not count. */
enum mount_form guest_lines_mount_form(const struct config *config, uint32_t vmid,
                                       const struct guest_config *guest);

/* Returns true if the guest's configuration has an mp of its own directory, even one that the next
 * start removes: while the guest runs, the directory is in use. */
bool guest_lines_has_mp(const struct config *config, uint32_t vmid,
                        const struct guest_config *guest);

#define HOOKSCRIPT_NAME  "felhom-hook"
#define HOOKSCRIPT_VALUE "local:snippets/" HOOKSCRIPT_NAME

/* What enroll or unenroll wants the configuration to have. */
struct guest_lines_desired {
    const struct config *config;
    uint32_t vmid;
    bool hookscript;      /* true: set ours; false: remove ours and keep any other */
    const char *other;    /* another hookscript, which ours replaces, or which replaces ours again;
                             NULL: none */
    enum mount_form form; /* of the line to set; all other mount lines are removed */
    bool by_command;      /* a command of Proxmox changes all but lxc.* lines */
};

struct line_change {
    char *key;
    char *value; /* to be set, or of the line that is removed */
    bool removed;
    bool by_command; /* the caller has a command make it; else it is made in the text */
};

struct line_changes {
    struct line_change *items;
    size_t count;
    bool edited; /* whether the text differs from before */
};

/* Changes the text as requested, except what a command changes. *ret lists all changes; the caller
 * frees it with line_changes_free. ERROR_CONFLICT, and nothing has changed, if the guest has
 * another hookscript or no mpN is free. */
int guest_lines_apply(const struct guest_lines_desired *desired, struct buffer *text,
                      struct line_changes *ret, struct error *error);

/* ERROR_CONFLICT unless the hookscript is ours: Proxmox runs only one. */
int guest_lines_check_hookscript(uint32_t vmid, const char *hookscript, struct error *error);

/* Checks a hookscript as Proxmox does before it sets one and at each start: its storage must exist
 * and have a directory, and the file must be there and be executable. *ret_path, which the caller
 * frees, is set also if only the file is at fault; else NULL. */
int guest_lines_check_runnable(const struct config *config, const char *hookscript, char **ret_path,
                               struct error *error);

void line_changes_free(struct line_changes *changes);

#endif
