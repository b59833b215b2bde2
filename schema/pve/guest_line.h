/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses single lines of a guest's configuration file, exactly as lax and as strict as Proxmox: a
 * line that Proxmox does not accept must not be accepted here. guest_config.c uses it to read a
 * file, and felhomctl to find the line that it edits. Contract: PVE::LXC::Config::parse_pct_config
 * and PVE::QemuServer::parse_vm_config.
 */
#ifndef FELHOM_GUEST_LINE_H
#define FELHOM_GUEST_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "schema/base/text.h"

enum guest_kind { GUEST_LXC, GUEST_QEMU };

/* "lxc" and "qemu", ended by NULL. */
extern const char *const guest_kind_names[];

enum guest_line_type {
    LINE_NOTHING, /* blank, a comment, the description or the snapshot state */
    LINE_SECTION, /* [name]: the end of the live configuration */
    LINE_RAW,     /* lxc.KEY: VALUE or lxc.KEY = VALUE */
    LINE_SETTING, /* KEY: VALUE */
    LINE_DELETE,  /* delete: KEYS, which is valid in the pending section only */
    LINE_UNKNOWN,
};

struct guest_line {
    enum guest_line_type type;
    char *key; /* key and value of a raw line or a setting; they point into the line */
    char *value;
};

/* Parses one line without its newline. Writes NULs into text to end key and value. */
struct guest_line guest_line_read(enum guest_kind kind, char *text);

/* Returns true for a line "[NAME]", which ends the live configuration. */
bool guest_line_is_section(enum guest_kind kind, struct slice line);

/* Returns true if the section that the line begins has the changes that the guest's next start
 * makes. */
bool guest_line_is_pending(enum guest_kind kind, struct slice line);

/* Returns the length of the key at the start of the line, and in *ret_separator the length of the
 * separator after it; 0 if the line has no key. */
size_t guest_line_key(enum guest_kind kind, struct slice line, size_t *ret_separator);

/* What Proxmox thinks of the key of a raw line (lxc.*) in a container's configuration. */
enum raw_key_class {
    RAW_KEY_GOOD,
    RAW_KEY_OUTDATED,    /* accepted, with a warning */
    RAW_KEY_ENVIRONMENT, /* accepted, but not kept among the raw lines */
    RAW_KEY_FORBIDDEN,   /* Proxmox generates this key itself or has a setting for it */
    RAW_KEY_UNKNOWN,
};

/* Returns what Proxmox thinks of a key that begins with "lxc.". */
enum raw_key_class guest_line_classify_raw(const char *key);

#endif
