/* SPDX-License-Identifier: Apache-2.0 */
/* An Ethernet hardware address. */
#ifndef FELHOM_HWADDR_H
#define FELHOM_HWADDR_H

#include <stdbool.h>
#include <stdint.h>

#define HWADDR_TEXT_SIZE 18 /* "BC:24:11:09:CE:72" and a NUL */

struct hwaddr {
    uint8_t bytes[6];
};

/* Reads XX:XX:XX:XX:XX:XX in either case. False for anything else, *ret untouched. */
bool hwaddr_parse(const char *text, struct hwaddr *ret);

/* Writes it in upper case, as Proxmox does. */
void hwaddr_format(const struct hwaddr *hwaddr, char ret[static HWADDR_TEXT_SIZE]);

bool hwaddr_equal(const struct hwaddr *a, const struct hwaddr *b);

#endif
