/* SPDX-License-Identifier: Apache-2.0 */
/* Which ids of the host the guest's ids are: the lxc.idmap lines and the idmap= of a mount point.
 */
#ifndef FELHOM_GUEST_IDMAP_H
#define FELHOM_GUEST_IDMAP_H

#include "schema/pve/guest_config.h"

enum idmap_type { IDMAP_UID = 'u', IDMAP_GID = 'g' };

/* Whether this is an lxc.idmap line's value: "u 0 100000 65536". */
bool idmap_line_is_good(const char *value);

/* Whether Proxmox can read every lxc.idmap line; if not, it doesn't start the guest. */
bool idmap_is_good(const struct guest_config *config);

/*
 * The host's id of the guest's root as it stands in the lxc.idmap lines, its length in *ret_length;
 * NULL if they do not map root.
 */
const char *idmap_root_text(const struct guest_config *config, enum idmap_type type,
                            size_t *ret_length);

/* Fills root_uid, root_gid, root_uid_mapped and root_gid_mapped from the raw lines and
 * unprivileged. */
void idmap_resolve_root(struct guest_config *config);

#endif
