/* SPDX-License-Identifier: Apache-2.0 */
/* The disks of a QEMU guest: what each kind of them may have as properties. */
#ifndef FELHOM_GUEST_DRIVE_H
#define FELHOM_GUEST_DRIVE_H

#include "schema/pve/guest_property.h"

extern const struct property_schema qemu_ide_schema;
extern const struct property_schema qemu_sata_schema;
extern const struct property_schema qemu_scsi_schema;
extern const struct property_schema qemu_virtio_schema;
extern const struct property_schema qemu_efidisk_schema;
extern const struct property_schema qemu_tpmstate_schema;

/* Whether a drive's properties name a disk of the guest's own: no CD, no empty drive. */
bool drive_is_disk(const struct property_list *list);

#endif
