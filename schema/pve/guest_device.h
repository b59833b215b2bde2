/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's configuration says of one volume. */
#ifndef FELHOM_GUEST_VOLUME_H
#define FELHOM_GUEST_VOLUME_H

#include "schema/pve/guest_config.h"
#include "schema/pve/guest_property.h"

extern const struct property_schema lxc_rootfs_schema;
extern const struct property_schema lxc_mount_point_schema;

/* Fills *ret from a rootfs or mpN; takes the properties over, *list is empty afterwards. */
void volume_from_lxc(const char *key, struct property_list *list, struct volume *ret);

/* The same for a disk of a QEMU guest. */
void volume_from_qemu(const char *key, struct property_list *list, struct volume *ret);

void volume_free(struct volume *volume);

/* The disks of a QEMU guest: what each kind of them may have as properties. */

extern const struct property_schema qemu_ide_schema;
extern const struct property_schema qemu_sata_schema;
extern const struct property_schema qemu_scsi_schema;
extern const struct property_schema qemu_virtio_schema;
extern const struct property_schema qemu_efidisk_schema;
extern const struct property_schema qemu_tpmstate_schema;

/* Whether a drive's properties name a disk of the guest's own: no CD, no empty drive. */
bool drive_is_disk(const struct property_list *list);

/* What a guest's configuration says of one network interface. */

extern const struct property_schema lxc_nic_schema;
extern const struct property_schema qemu_nic_schema;

/* Fills *ret from a netN; takes the properties over, *list is empty afterwards. */
void nic_from_properties(const char *key, struct property_list *list, struct nic *ret);

void nic_free(struct nic *nic);

/* Which ids of the host the guest's ids are: the lxc.idmap lines and the idmap= of a mount point.
 */

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
