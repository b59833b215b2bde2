/* SPDX-License-Identifier: Apache-2.0 */
/* IPv4 and IPv6 networks, ADDRESS:PORT pairs and hardware addresses. */
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

/* Reads ADDRESS/PREFIX or a bare ADDRESS (a network of one). False for bits beyond the prefix. */
bool cidr_parse(const char *text, struct cidr *ret);

/* The same, but bits beyond the prefix are cleared: the network that the text must have meant. */
bool cidr_parse_host(const char *text, struct cidr *ret);

/* Writes ADDRESS/PREFIX. */
#define CIDR_TEXT_SIZE 50
void cidr_format(const struct cidr *cidr, char text[CIDR_TEXT_SIZE]);

/* True if the address lies in the network. A v4-mapped IPv6 address counts as IPv4. */
bool cidr_contains(const struct cidr *cidr, const struct sockaddr *address);

/* Reads A.B.C.D:PORT, port 1..65535. */
bool endpoint_parse(const char *text, struct sockaddr_in *ret);

#define HWADDR_TEXT_SIZE 18 /* "BC:24:11:09:CE:72" and a NUL */

/* An Ethernet hardware address. */
struct hwaddr {
    uint8_t bytes[6];
};

/* Reads XX:XX:XX:XX:XX:XX in either case. False for anything else, *ret untouched. */
bool hwaddr_parse(const char *text, struct hwaddr *ret);

/* Writes it in upper case, as Proxmox does. */
void hwaddr_format(const struct hwaddr *hwaddr, char ret[static HWADDR_TEXT_SIZE]);

bool hwaddr_equal(const struct hwaddr *a, const struct hwaddr *b);

#endif
