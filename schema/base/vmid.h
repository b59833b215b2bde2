/* SPDX-License-Identifier: Apache-2.0 */
/* The VMID: the number by which Proxmox knows a guest, from 100 to 999999999; and lists of them. */
#ifndef FELHOM_VMID_H
#define FELHOM_VMID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMID_MIN 100u
#define VMID_MAX 999999999u

#define VMID_TEXT_SIZE 11 /* any uint32_t in decimal and a NUL */

/* Reads a VMID: decimal digits only, without a sign, blanks or leading zeros. Returns false for
 * anything else and leaves *ret untouched. */
bool vmid_parse(const char *text, uint32_t *ret);

/* Zero-initialise; freed by vmids_free. */
struct vmids {
    uint32_t *items;
    size_t count;
};
void vmids_free(struct vmids *vmids);

void vmids_add(struct vmids *vmids, uint32_t vmid);
bool vmids_has(const struct vmids *vmids, uint32_t vmid);

/* Sorts the list in ascending order; vmid_compare is for qsort and bsearch over uint32_t. */
void vmids_sort(struct vmids *vmids);
int vmid_compare(const void *one, const void *other);

#endif
