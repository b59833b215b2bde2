/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's configuration says of one volume. */
#ifndef FELHOM_GUEST_VOLUME_H
#define FELHOM_GUEST_VOLUME_H

#include "schema/pve/guest_property.h"

extern const struct property_schema lxc_rootfs_schema;
extern const struct property_schema lxc_mount_point_schema;

/* Fills *ret from a rootfs or mpN; takes the properties over, *list is empty afterwards. */
void volume_from_lxc(const char *key, struct property_list *list, struct volume *ret);

/* The same for a disk of a QEMU guest. */
void volume_from_qemu(const char *key, struct property_list *list, struct volume *ret);

void volume_free(struct volume *volume);

#endif
