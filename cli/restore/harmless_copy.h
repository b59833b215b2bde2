/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A restored copy has its original's configuration: the same addresses, directories and devices of
 * the host, hooks. Started like that, it would act in the original's place.
 */
#ifndef FELHOM_HARMLESS_COPY_H
#define FELHOM_HARMLESS_COPY_H

#include <stdint.h>

#include "schema/base/buffer.h"
#include "schema/base/error.h"
#include "schema/pve/guest_config.h"

/*
 * Takes out of the copy's configuration whatever reaches beyond its own disks, and every line that
 * is not known for harmless; all of its NICs are unplugged (link_down=1). Works on the text alone.
 * ERROR_CONFLICT where the copy must not be started even so, as one of its volumes is the
 * original's or its root is none of Proxmox's: the text then lacks those lines too.
 */
int harmless_copy_make(uint32_t vmid, const struct guest_config *original, struct buffer *text,
                       struct error *error);

#endif
