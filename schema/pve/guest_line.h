/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line grammar of a guest's configuration file, as lax and as strict as Proxmox's own: what is
 * no line for Proxmox must be none here. Contract: PVE::LXC::Config::parse_pct_config and
 * PVE::QemuServer::parse_vm_config.
 */
#ifndef FELHOM_GUEST_LINE_H
#define FELHOM_GUEST_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "schema/base/text.h"

enum guest_kind { GUEST_LXC, GUEST_QEMU };

/* "lxc" or "qemu". */
const char *guest_kind_name(enum guest_kind kind);

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

/* Reads one line without its newline. Cuts key and value out of the text where there are any. */
struct guest_line guest_line_read(enum guest_kind kind, char *text);

/* True for a line "[NAME]" that ends the live configuration. */
bool guest_line_is_section(enum guest_kind kind, struct slice line);

/* The length of the key at the start of a line, and in *ret_separator that of the separator behind
 * it; 0 if the line has none. */
size_t guest_line_key(enum guest_kind kind, struct slice line, size_t *ret_separator);

/* The keys of raw lines in a container's configuration. */
enum guest_line_verdict {
    RAW_KEY_GOOD,
    RAW_KEY_OUTDATED,    /* good, but Proxmox warns */
    RAW_KEY_ENVIRONMENT, /* good, but kept apart from the raw lines */
    RAW_KEY_FORBIDDEN,   /* Proxmox makes it itself, or has a setting for it */
    RAW_KEY_UNKNOWN,
};

enum guest_line_verdict guest_line_judge_raw(const char *key);

#endif
