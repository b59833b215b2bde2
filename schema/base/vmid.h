/* SPDX-License-Identifier: Apache-2.0 */
/* Proxmox's guest number, 100..999999999. */
#ifndef FELHOM_VMID_H
#define FELHOM_VMID_H

#include <stdbool.h>
#include <stdint.h>

#define VMID_MIN 100u
#define VMID_MAX 999999999u

#define VMID_TEXT_SIZE 11 /* any uint32_t in decimal and a NUL */

/* Reads a VMID of decimal digits alone, without sign, blank or leading zero. False otherwise, *ret
 * untouched. */
bool vmid_parse(const char *text, uint32_t *ret);

#endif
