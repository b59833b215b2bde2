/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packet socket on all devices, whose filter has the kernel copy the beginnings of the SYNs and
 * of the data to one TCP port, and nothing else, into a ring of memory that it shares with felhomd
 * (packet_mmap.rst). The filter cannot be changed once it is there: whoever took felhomd over would
 * see no other packet by it.
 */
#ifndef FELHOM_SYN_RING_H
#define FELHOM_SYN_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/base/error.h"
#include "schema/host/syn.h"

struct syn_ring {
    int fd; /* -1: none; readable if there is something to read */
    uint8_t *memory;
    uint32_t frame;      /* the next one to read */
    bool is_frame_known; /* false: the next one has to be looked for */
    uint64_t lost;
};

/* What was seen, and where. */
struct syn_seen {
    bool is_segment; /* it is data, not a SYN */
    struct syn syn;
    struct segment segment;
    int device;          /* its index */
    unsigned short type; /* of the device, ARPHRD_ETHER and so on */
};

/* Needs CAP_NET_RAW; ERROR_DENIED without it. port: in host byte order. Ends with
 * syn_ring_close. */
int syn_ring_open(struct syn_ring *ring, uint16_t port, struct error *error);

/* Takes over the socket of another process, with what has come in since that stopped reading.
 * Returns false if it is no such socket, or one for another port; the caller still owns it then. */
bool syn_ring_adopt(struct syn_ring *ring, int fd, uint16_t port);

void syn_ring_close(struct syn_ring *ring);

/* Reads the next SYN or data; false if there is none yet. */
bool syn_ring_next(struct syn_ring *ring, struct syn_seen *ret);

/* How many of them found no place since the ring was opened here. */
uint64_t syn_ring_lost(struct syn_ring *ring);

#endif
