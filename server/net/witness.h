/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The witness sees through which network device each SYN comes in: the one thing about a connection
 * that its peer cannot choose. Addresses, Ethernet and IP, and what the kernel's neighbour and
 * forwarding tables make of them, are what the peer says they are.
 *
 * It is a packet socket on all devices, whose filter lets the kernel copy nothing but what is sent
 * to felhomd's port, and a thread that notes for each SYN the guest whose port it came through. A
 * connection is then found by the SYN that the kernel saved of it.
 *
 * A SYN alone does not say who goes on with the connection: whoever draws the host's answer to
 * himself, by ARP or by another's Ethernet address, can do so in place of the one who began, from
 * the first byte on or from a later one. So the witness also looks through which port each byte of
 * the TLS handshake comes in, after which TLS holds the two ends together.
 *
 * A device can get another name, and one that is gone can leave its number to another guest's. The
 * kernel gives notice of it; what can have come in by the one or by the other is forgotten.
 *
 * Each device keeps its own newest SYNs, so that a guest that sends thousands forgets nothing but
 * its own. All memory is bounded. Every function may be called from any thread.
 */
#ifndef FELHOM_WITNESS_H
#define FELHOM_WITNESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/base/error.h"
#include "schema/host/syn.h"

struct witness;

/* How a SYN reached the host. */
enum witness_path {
    WITNESS_NONE,    /* not seen, or forgotten */
    WITNESS_HOST,    /* over the loopback device: the host's own */
    WITNESS_GUEST,   /* through a port of one guest */
    WITNESS_OUTSIDE, /* through no port of a guest */
    WITNESS_CONFLICT /* through ports of several guests: a copy was sent by one of them */
};

struct witness_sighting {
    enum witness_path path;
    uint32_t vmid;   /* of WITNESS_GUEST, else 0 */
    bool has_hwaddr; /* false if the device has no Ethernet headers, or path is WITNESS_NONE */
    struct hwaddr hwaddr;
    struct syn syn; /* that was seen; of WITNESS_NONE undefined */
};

/*
 * witness_open: opens the socket, which takes CAP_NET_RAW; ERROR_DENIED without it. From now on the
 * filter cannot be changed: SYNs to port, in host byte order, are the only ones that are noted.
 * witness_adopt: takes over a socket that another process has opened, with what came in since;
 * *fd becomes -1 then. Returns false if it is no such socket, is for another port, or is -1.
 * The caller ends the witness with witness_close; witness_close(NULL) does nothing.
 */
int witness_open(uint16_t port, struct witness **ret, struct error *error);
bool witness_adopt(uint16_t port, int *fd, struct witness **ret);
void witness_close(struct witness *witness);

uint16_t witness_port(const struct witness *witness);

/* The socket, for the felhomd that comes next. */
int witness_fd(const struct witness *witness);

/*
 * witness_save: writes all notes to a file in memory, for the felhomd that comes next, and notes no
 * further SYN: what comes in from now on is left in the socket. Returns the file's descriptor,
 * which the caller closes, or -1. Call it when no connection is accepted any more. witness_load:
 * takes the notes in such a file; ignores one that another version has written.
 */
int witness_save(struct witness *witness);
void witness_load(struct witness *witness, int fd);

/* Starts the thread that empties the socket. Call it after the process has become another user: its
 * threads would stay what they were. */
int witness_start(struct witness *witness, struct error *error);

/* Only SYNs to these ends (0.0.0.0 and :: stand for all addresses) are noted from now on, so that
 * what is forwarded to others takes no place; copied. Before the first call none are. */
void witness_watch(struct witness *witness, const struct syn_end *ends, size_t count);

/* Tells how this SYN came in, once: it has begun one connection and begins no other. Knows all that
 * came in before the call. From now on the witness looks for the data of that connection, until
 * witness_confirm. */
struct witness_sighting witness_find(struct witness *witness, const struct syn *syn);

/* The same for a connection of which the kernel saved no SYN (a SYN cookie): found if exactly one
 * SYN between these two ends was seen, by whatever sequence number. */
struct witness_sighting witness_find_ends(struct witness *witness, const struct syn_end *source,
                                          const struct syn_end *destination);

/* To be called once for each sighting that was found. size: how many bytes have been read of the
 * connection. Returns true if each of them was seen to come the way of the SYN, and none to come
 * another way as well, and there are some. If frames were lost since the SYN came in, any of them
 * may have come another way: false. */
bool witness_confirm(struct witness *witness, const struct witness_sighting *sighting, size_t size);

/* How many SYNs the kernel could not hand over because too many came in at once. */
uint64_t witness_lost(struct witness *witness);

#endif
