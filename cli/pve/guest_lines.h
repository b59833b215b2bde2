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

#include "cli/pve/directory_line.h"
#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"

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
