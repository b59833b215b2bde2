/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing network addresses: IPv4 and IPv6 networks (CIDR), ADDRESS:PORT pairs and
 * Ethernet hardware addresses. The parsers return false and leave *ret untouched when a text is not
 * exactly in the form that the comment names; they never look names up. IPv4-mapped IPv6 addresses
 * (::ffff:192.0.2.1) are treated as IPv4 throughout, because a dual-stack socket reports IPv4 peers
 * that way.
 */
#ifndef FELHOM_ADDRESS_H
#define FELHOM_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct cidr {
    sa_family_t family; /* AF_INET or AF_INET6 */
    uint8_t prefix;     /* 0..32 or 0..128 */
    union {
        struct in_addr v4;
        struct in6_addr v6;
    } address;
};

/* Reads ADDRESS/PREFIX, or ADDRESS alone, which is a network of one address. Returns false for a
 * text that is neither, and for one with bits set beyond the prefix (192.168.0.7/24). */
bool cidr_parse(const char *text, struct cidr *ret);

/* Like cidr_parse, but clears bits beyond the prefix instead of refusing them: 192.168.0.7/24
 * becomes 192.168.0.0/24. */
bool cidr_parse_host(const char *text, struct cidr *ret);

/* Writes ADDRESS/PREFIX into text. */
#define CIDR_TEXT_SIZE 50
void cidr_format(const struct cidr *cidr, char text[CIDR_TEXT_SIZE]);

/* Clears the bits beyond the prefix. */
void cidr_mask(struct cidr *cidr);

/* Sets *ret to the network that holds this one address. An IPv4-mapped IPv6 address becomes IPv4.
 * Returns false for any other family. */
bool cidr_of_address(const struct sockaddr *address, struct cidr *ret);

/* Returns true if the network holds one address alone. */
bool cidr_is_single(const struct cidr *cidr);

/* Returns true if each address of the inner network lies in the outer one. */
bool cidr_holds(const struct cidr *outer, const struct cidr *inner);

/* Returns true if the address lies in the network. An IPv4-mapped IPv6 address counts as IPv4. */
bool cidr_contains(const struct cidr *cidr, const struct sockaddr *address);

/* Reads A.B.C.D:PORT, with a port from 1 to 65535. Returns false for anything else. */
bool endpoint_parse(const char *text, struct sockaddr_in *ret);

#define HWADDR_TEXT_SIZE 18 /* "BC:24:11:09:CE:72" and a NUL */

/* An Ethernet hardware address. */
struct hwaddr {
    uint8_t bytes[6];
};

/* Reads XX:XX:XX:XX:XX:XX with digits in either case. Returns false for anything else and leaves
 * *ret untouched. */
bool hwaddr_parse(const char *text, struct hwaddr *ret);

/* Writes the address in upper case, as Proxmox does. */
void hwaddr_format(const struct hwaddr *hwaddr, char ret[static HWADDR_TEXT_SIZE]);

#endif
