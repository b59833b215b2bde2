/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which guest a network device of this host belongs to, which only its name says, and what becomes
 * of the devices: a frame tells the number of the device that it came in by, but a device can get
 * another name, and one that is gone can leave its number to another.
 */
#ifndef FELHOM_DEVICE_H
#define FELHOM_DEVICE_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/base/error.h"
#include "schema/host/netlink_answer.h"

enum device_kind {
    DEVICE_UNKNOWN,  /* there is none */
    DEVICE_UPPER,    /* it gets its frames from another device, which sees them first */
    DEVICE_LOOPBACK, /* the host's own */
    DEVICE_PORT,     /* a guest's */
    DEVICE_OUTSIDE   /* any other */
};

struct device_identity {
    enum device_kind kind;
    uint32_t vmid; /* of DEVICE_PORT, else 0 */
    char name[IF_NAMESIZE];
};

/* Returns true and the VMID if a network device of this name is a guest's port on this host:
 * vethVMIDiN, tapVMIDiN and, between the bridges of Proxmox's firewall, fwprVMIDpN
 * (PVE::Network). */
bool device_port_owner(const char *name, uint32_t *ret_vmid);

/* Finds out what the device with this number is now. socket: any. */
struct device_identity device_identify(int socket, int index);

/* Opens a socket that receives a notice of each change from now on. The caller closes it. */
int device_notices_open(int *ret_fd, struct error *error);

struct device_notices {
    int fd; /* borrowed */
    struct netlink_answer answer;
    size_t at;
};

/* Reads the next notice; false if there is none yet. ret->index is 0 if notices were lost: any
 * device may have changed. notices begins as {.fd = FD}. */
bool device_notices_next(struct device_notices *notices, struct netlink_link *ret);

#endif
