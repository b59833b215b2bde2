/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What enroll and unenroll do to a guest's configuration, worked out on its text alone: the
 * hookscript and the line that mounts its directory. Lines that name a guest's directory and are
 * not the wanted one go, whosever directory it is.
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

/* The lines that put a guest's directory into it, in either form: how they are recognised and how
 * they read. */

struct directory_line {
    enum mount_form form;
    uint32_t vmid; /* whose directory it names */
};

/* Whether the line names a guest's directory below GUESTS or EXPORT; *ret is set only then. */
bool directory_line_read(const struct config *config, const char *key, const char *value,
                         struct directory_line *ret);

/* Whether the line mounts the guest's directory as enroll would have it; an mp may carry more
 * options. */
bool directory_line_is_right(const struct config *config, enum mount_form form, uint32_t vmid,
                             const char *key, const char *value);

/* How the guest's configuration mounts its own directory. */
enum mount_form directory_line_find(const struct config *config, uint32_t vmid,
                                    const struct guest_config *guest);

/* The value of the guest's line, to be freed with free(). */
char *directory_line_value(const struct config *config, enum mount_form form, uint32_t vmid);

#define HOOKSCRIPT_NAME  "felhom-hook"
#define HOOKSCRIPT_VALUE "local:snippets/" HOOKSCRIPT_NAME

struct guest_lines_wish {
    const struct config *config;
    uint32_t vmid;
    bool hookscript;      /* ours is wanted; else ours is not, and another's stays */
    const char *other;    /* another's hookscript: ours takes its place, or it comes back in ours';
                             NULL: none */
    enum mount_form form; /* wanted */
    bool by_command;      /* Proxmox's own command changes all but lxc.* lines */
};

struct line_change {
    char *key;
    char *value; /* wanted, or of the line that goes */
    bool removed;
    bool by_command; /* not made in the text */
};

struct line_changes {
    struct line_change *items;
    size_t count;
    bool edited; /* whether the text differs from before */
};

/*
 * Changes the text as wished, but for what a command is to change; *ret lists both, the caller's to
 * free with line_changes_free. ERROR_CONFLICT where the guest has another hookscript than the
 * wanted one: nothing has changed then.
 */
int guest_lines_apply(const struct guest_lines_wish *wish, struct buffer *text,
                      struct line_changes *ret, struct error *error);

/* ERROR_CONFLICT unless the hookscript is ours: Proxmox runs only one. */
int guest_lines_check_hookscript(uint32_t vmid, const char *hookscript, struct error *error);

void line_changes_free(struct line_changes *changes);

#endif
