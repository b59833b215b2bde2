/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/address.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/text.h"

#define MAPPED_BITS 96 /* ::ffff:0:0/96: the IPv6 addresses that stand for IPv4 addresses */

/* Splits text at the last mark in it: front gets what is before the mark, *ret_back points to what
 * follows it, NULL if there is no mark. False if front is too small. */
static bool text_split(const char *text, char mark, char *front, size_t size, const char **ret_back)
{
    const char *end = strrchr(text, mark);
    size_t length = end ? (size_t)(end - text) : strlen(text);
    if (length >= size)
        return false;
    memcpy(front, text, length);
    front[length] = '\0';
    *ret_back = end ? end + 1 : NULL;
    return true;
}

static bool address_parse(const char *text, struct cidr *cidr)
{
    bool v4 = inet_pton(AF_INET, text, &cidr->address.v4) == 1;
    cidr->family = v4 ? AF_INET : AF_INET6;
    cidr->prefix = v4 ? 32 : 128;
    return v4 || inet_pton(AF_INET6, text, &cidr->address.v6) == 1;
}

/* Turns an IPv4-mapped IPv6 address or network into the IPv4 one that it stands for. */
static void cidr_unmap(struct cidr *cidr)
{
    if (cidr->family != AF_INET6 || cidr->prefix < MAPPED_BITS ||
        !IN6_IS_ADDR_V4MAPPED(&cidr->address.v6))
        return;
    struct cidr plain = {.family = AF_INET, .prefix = (uint8_t)(cidr->prefix - MAPPED_BITS)};
    memcpy(&plain.address.v4, cidr->address.v6.s6_addr + 12, sizeof plain.address.v4);
    *cidr = plain;
}

static void mask_bytes(uint8_t *bytes, size_t count, unsigned prefix)
{
    for (size_t i = 0; i < count; i++) {
        unsigned bits = prefix < 8 ? prefix : 8;
        bytes[i] &= (uint8_t)(0xFF00 >> bits);
        prefix -= bits;
    }
}

static size_t address_size(sa_family_t family)
{
    return family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
}

void cidr_mask(struct cidr *cidr)
{
    mask_bytes((uint8_t *)&cidr->address, address_size(cidr->family), cidr->prefix);
}

static bool cidr_parse_unmasked(const char *text, struct cidr *ret)
{
    char address[INET6_ADDRSTRLEN];
    const char *prefix;
    uint64_t bits;
    struct cidr cidr = {.family = AF_UNSPEC};
    if (!text_split(text, '/', address, sizeof address, &prefix) || !address_parse(address, &cidr))
        return false;
    if (prefix) {
        if (!text_number(prefix, cidr.prefix, &bits))
            return false;
        cidr.prefix = (uint8_t)bits;
    }
    cidr_unmap(&cidr);
    *ret = cidr;
    return true;
}

bool cidr_parse_host(const char *text, struct cidr *ret)
{
    if (!cidr_parse_unmasked(text, ret))
        return false;
    cidr_mask(ret);
    return true;
}

bool cidr_parse(const char *text, struct cidr *ret)
{
    struct cidr cidr;
    struct cidr masked;
    if (!cidr_parse_unmasked(text, &cidr))
        return false;
    masked = cidr;
    cidr_mask(&masked);
    if (memcmp(&masked.address, &cidr.address, address_size(cidr.family)) != 0)
        return false;
    *ret = cidr;
    return true;
}

void cidr_format(const struct cidr *cidr, char text[CIDR_TEXT_SIZE])
{
    char address[INET6_ADDRSTRLEN];
    (void)inet_ntop(cidr->family, &cidr->address, address, sizeof address);
    (void)snprintf(text, CIDR_TEXT_SIZE, "%s/%u", address, cidr->prefix);
}

bool cidr_of_address(const struct sockaddr *address, struct cidr *ret)
{
    *ret = (struct cidr){.family = address->sa_family};
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        ret->prefix = 32;
        ret->address.v4 = v4.sin_addr;
        return true;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        ret->prefix = 128;
        ret->address.v6 = v6.sin6_addr;
        cidr_unmap(ret);
        return true;
    }
    return false;
}

bool cidr_is_single(const struct cidr *cidr)
{
    return cidr->prefix == 8 * address_size(cidr->family);
}

bool cidr_holds(const struct cidr *outer, const struct cidr *inner)
{
    struct cidr widened = *inner;
    if (outer->family != inner->family || outer->prefix > inner->prefix)
        return false;
    widened.prefix = outer->prefix;
    cidr_mask(&widened);
    return !memcmp(&widened.address, &outer->address, address_size(outer->family));
}

bool cidr_contains(const struct cidr *cidr, const struct sockaddr *address)
{
    struct cidr other;
    return cidr_of_address(address, &other) && cidr_holds(cidr, &other);
}

bool endpoint_parse(const char *text, struct sockaddr_in *ret)
{
    char address[INET_ADDRSTRLEN];
    const char *digits;
    uint64_t port;
    struct sockaddr_in endpoint = {.sin_family = AF_INET};
    if (!text_split(text, ':', address, sizeof address, &digits) || !digits ||
        !text_number(digits, UINT16_MAX, &port) || port == 0 ||
        inet_pton(AF_INET, address, &endpoint.sin_addr) != 1)
        return false;
    endpoint.sin_port = htons((uint16_t)port);
    *ret = endpoint;
    return true;
}

bool hwaddr_parse(const char *text, struct hwaddr *ret)
{
    for (size_t i = 0; i < HWADDR_TEXT_SIZE - 1; i++)
        if (i % 3 == 2 ? text[i] != ':' : !text_is_one_of(text[i], HEX_DIGITS))
            return false;
    if (text[HWADDR_TEXT_SIZE - 1])
        return false;
    for (size_t i = 0; i < sizeof ret->bytes; i++)
        ret->bytes[i] = (uint8_t)strtoul(text + 3 * i, NULL, 16);
    return true;
}

void hwaddr_format(const struct hwaddr *hwaddr, char ret[static HWADDR_TEXT_SIZE])
{
    const uint8_t *b = hwaddr->bytes;
    (void)snprintf(ret, HWADDR_TEXT_SIZE, "%02X:%02X:%02X:%02X:%02X:%02X", b[0], b[1], b[2], b[3],
                   b[4], b[5]);
}
