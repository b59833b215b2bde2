/* SPDX-License-Identifier: Apache-2.0 */
/* What the store is told of a guest that was enrolled. */
#ifndef FELHOM_GUEST_MEMORY_H
#define FELHOM_GUEST_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/pve/directory_line.h"
#include "cli/session.h"
#include "schema/base/buffer.h"
#include "schema/pve/guest_config.h"

struct guest_memory {
    uint32_t vmid;
    const struct guest_config *guest;
    enum mount_form form;
    const struct buffer *enrolment;
    bool changed; /* an event tells of it */
};

/* All at once, or nothing. */
int guest_remember(const struct session *session, const struct guest_memory *memory,
                   struct error *error);

#endif
