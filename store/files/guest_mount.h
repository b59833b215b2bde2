/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a guest's directory gets into the guest: the line of the guest's configuration that mounts
 * it, the read-only export that an lxc.mount.entry line names, and the check whether the running
 * guest sees the directory.
 *
 * No guest may see the directory of another. A clone, or a restore to a new VMID, copies the mount
 * line of the original guest; starting it unchecked would hand over the original's secrets.
 */
#ifndef FELHOM_GUEST_MOUNT_H
#define FELHOM_GUEST_MOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/error.h"
#include "schema/pve/guest_config.h"

/* The two kinds of lines that mount a guest's directory. */
enum mount_form {
    MOUNT_FORM_NONE,
    MOUNT_FORM_ENTRY, /* lxc.mount.entry: EXPORT/VMID ... */
    MOUNT_FORM_MP,    /* mpN: GUESTS/VMID,... */
};

/* Returns "", "entry" or "mp". */
const char *mount_form_name(enum mount_form form);

/* --- the mount line --- */

/* Separates the reason from the command in guest_mount_check's message. */
#define GUEST_MOUNT_REMEDY ". To mend it: "

/* How a guest's configuration mounts the guest's own directory. */
struct guest_mount {
    enum mount_form form;
    const struct volume *volume; /* for MOUNT_FORM_MP; part of the guest's configuration */
};

/*
 * Checks all mount points and lxc.* lines of a container, and the files that lxc.include and
 * lxc.mount.fstab name. If one of them shows the directory of another guest, or of all guests, by
 * whatever path (links, dots, a parent directory, a layer of an overlay), or if such a file cannot
 * be read, fails with ERROR_FOREIGN and names the file, the line and the command that corrects it.
 * Otherwise *ret says which line mounts the guest's own directory.
 */
int guest_mount_check(const struct config *config, uint32_t vmid, const struct guest_config *guest,
                      struct guest_mount *ret, struct error *error);

/*
 * Returns true and the VMID if the path is, or is below, GUESTS/VMID or EXPORT/VMID. Only the text
 * counts: dots are resolved, symbolic links are not, and a relative path begins in /. *ret_vmid may
 * change even if the result is false.
 */
bool guest_mount_path_owner(const struct config *config, const char *path, uint32_t *ret_vmid);

/* --- the read-only export --- */

/*
 * Bind-mounts the guest's directory (source, an open descriptor) on EXPORT/VMID with ro, nosuid,
 * nodev and noexec, unless it is mounted there already. A mount of a directory that is no longer
 * the guest's is replaced. The mount is made in the host's namespace because the container could
 * remount a mount of its own user namespace writable. ERROR_DENIED if this process may not mount.
 */
int guest_mount_export(const struct config *config, uint32_t vmid, int source, struct error *error);

/* Checks that guest_mount_unexport would not fail: ERROR_CONFLICT if EXPORT/VMID is a mount of
 * anything but GUESTS/VMID. */
int guest_mount_check_export(const struct config *config, uint32_t vmid, struct error *error);

/*
 * Unmounts and removes EXPORT/VMID. Any mount there other than that of GUESTS/VMID is left alone
 * and fails with ERROR_CONFLICT. A missing export is no failure. *ret_removed: the export existed.
 */
int guest_mount_unexport(const struct config *config, uint32_t vmid, bool *ret_removed,
                         struct error *error);

/* --- the running guest --- */

enum visibility {
    VISIBILITY_UNKNOWN, /* no control group of that container, or no access to it */
    VISIBILITY_SEEN,
    VISIBILITY_MISSING, /* the guest's bootstrap path does not exist or shows something else */
    VISIBILITY_REMOVED, /* it shows a directory that was removed from the host: what is written
                           there now does not reach the guest until it starts again */
};

/* Checks whether a running container sees its directory, by looking up the bootstrap path in the
 * root directory of one of the container's processes. */
enum visibility guest_mount_visibility(const struct config *config, uint32_t vmid);

#endif
