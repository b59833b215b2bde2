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

#define SYN_RING_FRAMES 4096u /* that find place before they are read */
#define SYN_RING_GAPS   1024u

struct syn_ring {
    int fd; /* -1: none; readable if there is something to read */
    uint8_t *memory;
    bool is_end_known; /* false: where to go on has to be found */
    /* Frames are counted on from round to round. */
    uint64_t end;                 /* no frame from this one on has been read */
    uint64_t gaps[SYN_RING_GAPS]; /* those before it that have not, ascending */
    uint32_t gap_count;
    uint64_t begin;      /* a gap before this one may be none: it was read by another process */
    uint32_t look_over;  /* how many frames may be filled at the same time */
    bool has_old_copies; /* of long frames that another process has read, perhaps */
    bool is_losing;      /* some have been lost since syn_ring_lost was called last */
    uint64_t lost;
};

/* What was seen, and where. */
enum seen_kind {
    SEEN_SYN,
    SEEN_SEGMENT, /* data */
    SEEN_OTHER
};

struct syn_seen {
    enum seen_kind kind;
    struct syn syn;
    struct segment segment;
    int device; /* its index */
};

/* Needs CAP_NET_RAW; ERROR_DENIED without it. port: in host byte order. Ends with
 * syn_ring_close. */
int syn_ring_open(struct syn_ring *ring, uint16_t port, struct error *error);

/* Takes over the socket of another process, with what has come in since that stopped reading.
 * Returns false if it is no such socket, or one for another port; the caller still owns it then. */
bool syn_ring_adopt(struct syn_ring *ring, int fd, uint16_t port);

void syn_ring_close(struct syn_ring *ring);

/*
 * Reads the next frame; false if there is none yet. Each CPU fills a frame of its own, so
 * that one may be full while an earlier one is not: it is read all the same. Whatever the host's
 * TCP has received was full before; of two frames of which the one was full before the other was
 * begun, that one is read first.
 */
bool syn_ring_next(struct syn_ring *ring, struct syn_seen *ret);

/* How many of them found no place since the ring was opened here. */
uint64_t syn_ring_lost(struct syn_ring *ring);

#endif
