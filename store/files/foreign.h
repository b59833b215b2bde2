/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of a container's mounts lead to a guest's directory. A clone or a restore to a new VMID
 * copies the line of the guest that it was made from: starting it would hand over a foreign secret.
 */
#ifndef FELHOM_FOREIGN_H
#define FELHOM_FOREIGN_H

#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/agent/mount_form.h"
#include "schema/pve/guest_config.h"

/* What stands between the reason and the command in foreign_check's message. */
#define FOREIGN_REMEDY ". To mend it: "

/* How the guest's own directory gets into it. */
struct own_mount {
    enum mount_form form;
    const struct volume *volume; /* with MOUNT_FORM_MP; borrowed from the guest's configuration */
};

/*
 * Looks at every mount point and lxc.mount.entry. Fails with ERROR_FOREIGN, naming the line and the
 * command that mends it, where one shows the directory of another guest or all of them at once, by
 * whatever path it gets there (links, dots, a parent directory). Otherwise *ret says how the guest
 * sees its own.
 */
int foreign_check(const struct config *config, uint32_t vmid, const struct guest_config *guest,
                  struct own_mount *ret, struct error *error);

#endif
