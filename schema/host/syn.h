/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parser for the packet with which a peer asks for a TCP connection, as the kernel saves it for the
 * listener (TCP_SAVED_SYN, tcp(7)) and as a packet socket sees it (packet(7)). felhomd finds out
 * from it which guest a connection comes from. The bytes come from the peer. Nothing here opens a
 * socket.
 */
#ifndef FELHOM_SYN_H
#define FELHOM_SYN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "schema/base/address.h"

/* One end of a connection; an IPv4 address in its IPv4-mapped form. */
struct syn_end {
    struct in6_addr address;
    in_port_t port; /* in network byte order */
};

struct syn {
    struct syn_end source;
    struct syn_end destination;
    uint32_t sequence;    /* in network byte order */
    bool has_hwaddr;      /* false on a link without Ethernet headers */
    struct hwaddr hwaddr; /* the frame's sender; else zeroes */
};

/* Reads an IPv4 or IPv6 packet that holds a TCP header: IPv6 without extension headers, IPv4 with
 * options or without, no fragment. Leaves hwaddr empty. Returns false for anything else, *ret is
 * undefined then. */
bool syn_parse_packet(const uint8_t *bytes, size_t length, struct syn *ret);

/*
 * Reads what the kernel has saved of the SYN of a connection between these two addresses: an
 * Ethernet header, which may hold one VLAN tag, and the packet; or the packet alone, on links
 * without Ethernet. Nothing in the bytes says which of the two it is: the one that agrees with the
 * addresses is taken. Returns false if neither does.
 */
bool syn_parse_saved(const uint8_t *bytes, size_t length, const struct sockaddr *source,
                     const struct sockaddr *destination, struct syn *ret);

#define SEGMENT_HEAD_MOST 160

/* A packet of a connection that carries data of the peer's. */
struct segment {
    struct syn_end source;
    struct syn_end destination;
    uint32_t sequence; /* of its first byte, in host byte order */
    uint32_t length;   /* of its data, at least 1 */
    bool is_fragment;  /* the first one; the others hold more data */
    size_t head_length;
    uint8_t head[SEGMENT_HEAD_MOST]; /* the beginning of the packet, from its IP header on */
};

/* Reads an IPv4 or IPv6 packet that holds a TCP header and data, as syn_parse_packet does; of the
 * packet, at least the headers must be there. The first fragment of an IPv4 packet counts as one
 * with as much data as there can be, since what it does not hold follows in fragments without
 * ports. Returns false for anything else, *ret is undefined then. */
bool segment_parse(const uint8_t *bytes, size_t length, struct segment *ret);

/* Returns what tells the packet's head from others: whoever knows one packet cannot find another of
 * the same content. */
uint64_t segment_content(const struct segment *segment);

/* Which bytes of a connection a packet holds; the first one is 0. */
struct segment_place {
    uint32_t from;
    uint32_t until;
};

/* Finds that for the connection that this SYN has begun; returns false if the packet holds none. */
bool segment_find_place(const struct segment *segment, const struct syn *syn,
                        struct segment_place *ret);

#define PROGRESS_CONTENTS 8

/* What has been seen of the beginning of a connection's data. */
struct progress {
    uint32_t until;                       /* up to here all has come the right way */
    struct segment_place ahead;           /* so has a part beyond a gap */
    uint32_t other_from;                  /* the first byte that came another way */
    uint32_t count;                       /* how many packets have come the right way */
    uint64_t contents[PROGRESS_CONTENTS]; /* of the newest of them */
};
#define PROGRESS_NONE ((struct progress){.other_from = UINT32_MAX})

/* Adds a packet that has come the right way, or another one. */
void progress_add(struct progress *progress, uint64_t content, const struct segment_place *place);
void progress_add_other(struct progress *progress, const struct segment_place *place);

/* Returns true if one of the newest packets that came the right way has this content. */
bool progress_has(const struct progress *progress, uint64_t content);

/* Returns true if the first size bytes, at least one, came the right way alone. */
bool progress_covers(const struct progress *progress, size_t size);

bool syn_end_equal(const struct syn_end *a, const struct syn_end *b);

/* Converts an AF_INET or AF_INET6 address; another family becomes all zeroes. */
void syn_end_set(struct syn_end *end, const struct sockaddr *address);

#endif
