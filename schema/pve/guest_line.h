/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line grammar of a guest's configuration file. It is deliberately as lax and as strict as
 * Proxmox's own: what is no line for Proxmox must be none here.
 */
#ifndef FELHOM_GUEST_LINE_H
#define FELHOM_GUEST_LINE_H

#include "schema/pve/guest_config.h"

enum guest_line_type {
    LINE_NOTHING, /* blank, a comment, the description, the snapshot state */
    LINE_SECTION, /* [name]: the live configuration ends here */
    LINE_RAW,     /* lxc.KEY: VALUE or lxc.KEY = VALUE */
    LINE_SETTING, /* KEY: VALUE */
    LINE_DELETE,  /* delete: KEYS, which belongs into the pending section only */
    LINE_UNKNOWN,
};

struct guest_line {
    enum guest_line_type type;
    char *key; /* of a raw line or a setting, inside the text that was read */
    char *value;
};

/* Reads one line without its newline. Cuts key and value out of text where there are any. */
struct guest_line guest_line_read(enum guest_kind kind, char *text);

#endif
