/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's configuration says of one network interface. */
#ifndef FELHOM_GUEST_NIC_H
#define FELHOM_GUEST_NIC_H

#include "schema/pve/guest_property.h"

extern const struct property_schema lxc_nic_schema;
extern const struct property_schema qemu_nic_schema;

/* Fills *ret from a netN; takes the properties over, *list is empty afterwards. */
void nic_from_properties(const char *key, struct property_list *list, struct nic *ret);

void nic_free(struct nic *nic);

#endif
