/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a guest's directory gets into the guest: the line of its configuration that mounts it, the
 * read-only export that the line names, and whether the running guest sees it.
 *
 * A guest must not see the directory of another. A clone, or a restore to a new VMID, copies the
 * mount line of the guest that it was made from: starting it would hand over that guest's secrets.
 */
#ifndef FELHOM_GUEST_MOUNT_H
#define FELHOM_GUEST_MOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/error.h"
#include "schema/pve/guest_config.h"

/* The two ways by which a guest's directory gets into it. */
#define MOUNT_ENTRY_KEY "lxc.mount.entry"

enum mount_form {
    MOUNT_FORM_NONE,
    MOUNT_FORM_ENTRY, /* lxc.mount.entry: EXPORT/VMID ... */
    MOUNT_FORM_MP,    /* mpN: GUESTS/VMID,... */
};

/* "", "entry" or "mp". */
const char *mount_form_name(enum mount_form form);

/* --- the line --- */

/* What stands between the reason and the command in guest_mount_check's message. */
#define GUEST_MOUNT_REMEDY ". To mend it: "

/* How a guest's configuration mounts the guest's own directory. */
struct guest_mount {
    enum mount_form form;
    const struct volume *volume; /* with MOUNT_FORM_MP; borrowed from the guest's configuration */
};

/*
 * Checks every mount point and lxc.mount.entry of a container. Fails with ERROR_FOREIGN, naming the
 * line and the command that mends it, where one shows the directory of another guest or those of
 * all guests, by whatever path it gets there (links, dots, a parent directory). Otherwise *ret says
 * how the guest sees its own.
 */
int guest_mount_check(const struct config *config, uint32_t vmid, const struct guest_config *guest,
                      struct guest_mount *ret, struct error *error);

/* The path of the host that an lxc.mount.entry names: the first field of its value, an fstab line,
 * with \ooo resolved. The caller frees it. */
char *guest_mount_entry_source(const char *value);

/* True if the path is GUESTS/VMID or EXPORT/VMID, or lies in one, by its text alone: dots are
 * followed, links are not. *ret_vmid may change even if it is not. */
bool guest_mount_path_owner(const struct config *config, const char *path, uint32_t *ret_vmid);

/* --- the export --- */

/*
 * Mounts the guest's directory, which is open as source, on EXPORT/VMID (ro,nosuid,nodev,noexec),
 * unless it is mounted there already; a mount of a directory that is no longer the guest's is
 * replaced. The export is read-only from the host's side, so that the container cannot make it
 * writable: a mount made in its own user namespace could be remounted there. Fails with
 * ERROR_DENIED where this process may not mount.
 */
int guest_mount_export(const struct config *config, uint32_t vmid, int source, struct error *error);

/*
 * Removes EXPORT/VMID, and unmounts it first if it shows GUESTS/VMID; any other mount there is
 * refused with ERROR_CONFLICT. No export is no failure.
 */
int guest_mount_unexport(const struct config *config, uint32_t vmid, bool *ret_removed,
                         struct error *error);

/* --- the running guest --- */

enum visibility {
    VISIBILITY_UNKNOWN, /* no container of that VMID in the control groups, or no access to it */
    VISIBILITY_SEEN,
    VISIBILITY_MISSING, /* its bootstrap path shows something else, or is not there */
};

/* Whether a running container sees its directory, looked up through the root directory of one of
 * its processes. */
enum visibility guest_mount_visibility(const struct config *config, uint32_t vmid);

#endif
