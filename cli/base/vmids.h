/* SPDX-License-Identifier: Apache-2.0 */
/* A list of guests: those that a verb is for, or those for whom it failed. */
#ifndef FELHOM_VMIDS_H
#define FELHOM_VMIDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/error.h"
#include "store/tables/guest.h"

/* Zero-initialise; freed by vmids_free. */
struct vmids {
    uint32_t *items;
    size_t count;
};
void vmids_free(struct vmids *vmids);

void vmids_add(struct vmids *vmids, uint32_t vmid);
bool vmids_has(const struct vmids *vmids, uint32_t vmid);

/* vmids_add as guest_each's visitor: vmids is the struct vmids to add to. Returns 0. */
int vmids_keep(const struct guest *guest, void *vmids);

/* Returns 0 if the list is empty, else -1 with ERROR_CONFLICT "WHAT: guests 100, 101". */
int vmids_fail(const struct vmids *failed, const char *what, struct error *error);

#endif
