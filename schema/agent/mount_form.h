/* SPDX-License-Identifier: Apache-2.0 */
/* The two ways by which a guest's directory gets into it. */
#ifndef FELHOM_MOUNT_FORM_H
#define FELHOM_MOUNT_FORM_H

#define MOUNT_ENTRY_KEY "lxc.mount.entry"

enum mount_form {
    MOUNT_FORM_NONE,
    MOUNT_FORM_ENTRY, /* lxc.mount.entry: EXPORT/VMID ... */
    MOUNT_FORM_MP,    /* mpN: GUESTS/VMID,... */
};

/* "", "entry" or "mp". */
const char *mount_form_name(enum mount_form form);

#endif
