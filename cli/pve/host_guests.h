/* SPDX-License-Identifier: Apache-2.0 */
/* The guests that this host has, whoever serves them. */
#ifndef FELHOM_HOST_GUESTS_H
#define FELHOM_HOST_GUESTS_H

#include <stddef.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/error.h"

struct host_guests {
    uint32_t *vmids; /* in ascending order */
    size_t count;
};

/* The containers that have a configuration on this node; the caller's to free with
 * host_guests_free. */
int host_guests_list(const struct config *config, struct host_guests *ret, struct error *error);
void host_guests_free(struct host_guests *guests);

#endif
