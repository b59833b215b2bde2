/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/host/syn.h"

#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>

#include "schema/base/mbedtls.h"

#define VLAN_TAG_LENGTH  4
#define ETHER_TYPE_AT    12
#define ETHER_TYPE_BYTES 2

static void syn_end_set_v4(struct syn_end *end, const void *address)
{
    end->address = (struct in6_addr)IN6ADDR_ANY_INIT;
    end->address.s6_addr[10] = 0xff;
    end->address.s6_addr[11] = 0xff;
    memcpy(&end->address.s6_addr[12], address, sizeof(struct in_addr));
}

void syn_end_set(struct syn_end *end, const struct sockaddr *address)
{
    *end = (struct syn_end){.port = 0};
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        syn_end_set_v4(end, &v4.sin_addr);
        end->port = v4.sin_port;
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        end->address = v6.sin6_addr;
        end->port = v6.sin6_port;
    }
}

/* Ports and number are in the first 8 bytes, which every first fragment has. */
#define FRAGMENT_LEAST 8
#define DATA_MOST      UINT16_MAX

/* A packet that holds TCP, as far as its IP header tells. */
struct tcp_packet {
    struct syn_end source;      /* without its port */
    struct syn_end destination; /* likewise */
    const uint8_t *tcp;         /* from TCP's header on, borrowed */
    size_t length;              /* of what is there of it */
    uint32_t all;               /* the length of TCP's header and the data */
    bool is_fragment;           /* the first one */
};

static bool tcp_packet_parse_v4(const uint8_t *bytes, size_t length, struct tcp_packet *packet)
{
    struct ip ip;
    if (length < sizeof ip)
        return false;
    memcpy(&ip, bytes, sizeof ip);
    uint32_t header = (uint32_t)ip.ip_hl * 4;
    uint32_t total = ntohs(ip.ip_len);
    if (header < sizeof ip || header > length || ip.ip_p != IPPROTO_TCP ||
        (ntohs(ip.ip_off) & IP_OFFMASK) != 0)
        return false;
    syn_end_set_v4(&packet->source, &ip.ip_src);
    syn_end_set_v4(&packet->destination, &ip.ip_dst);
    packet->tcp = bytes + header;
    packet->length = length - header;
    /* 0 stands for more than fits into the field, between devices of one kernel. */
    packet->all = total == 0 ? DATA_MOST : total > header ? total - header : 0;
    packet->is_fragment = ntohs(ip.ip_off) & IP_MF;
    return true;
}

static bool tcp_packet_parse_v6(const uint8_t *bytes, size_t length, struct tcp_packet *packet)
{
    struct ip6_hdr ip;
    if (length < sizeof ip)
        return false;
    memcpy(&ip, bytes, sizeof ip);
    if (ip.ip6_nxt != IPPROTO_TCP)
        return false;
    packet->source.address = ip.ip6_src;
    packet->destination.address = ip.ip6_dst;
    packet->tcp = bytes + sizeof ip;
    packet->length = length - sizeof ip;
    packet->all = ntohs(ip.ip6_plen);
    return true;
}

static bool tcp_packet_parse(const uint8_t *bytes, size_t length, struct tcp_packet *ret)
{
    *ret = (struct tcp_packet){.length = 0};
    if (length == 0)
        return false;
    switch (bytes[0] >> 4) {
    case 4:
        return tcp_packet_parse_v4(bytes, length, ret);
    case 6:
        return tcp_packet_parse_v6(bytes, length, ret);
    default:
        return false;
    }
}

bool syn_parse_packet(const uint8_t *bytes, size_t length, struct syn *ret)
{
    struct tcp_packet packet;
    struct tcphdr tcp;
    *ret = (struct syn){.has_hwaddr = false};
    if (!tcp_packet_parse(bytes, length, &packet) || packet.length < sizeof tcp)
        return false;
    memcpy(&tcp, packet.tcp, sizeof tcp);
    ret->source = packet.source;
    ret->destination = packet.destination;
    ret->source.port = tcp.th_sport;
    ret->destination.port = tcp.th_dport;
    ret->sequence = tcp.th_seq;
    return (tcp.th_flags & (TH_SYN | TH_ACK)) == TH_SYN;
}

bool segment_parse(const uint8_t *bytes, size_t length, struct segment *ret)
{
    struct tcp_packet packet;
    struct tcphdr tcp = {0};
    *ret = (struct segment){.length = 0};
    if (!tcp_packet_parse(bytes, length, &packet) ||
        packet.length < (packet.is_fragment ? FRAGMENT_LEAST : sizeof tcp))
        return false;
    memcpy(&tcp, packet.tcp, packet.length < sizeof tcp ? packet.length : sizeof tcp);
    uint32_t header = (uint32_t)tcp.th_off * 4;
    ret->source = packet.source;
    ret->destination = packet.destination;
    ret->source.port = tcp.th_sport;
    ret->destination.port = tcp.th_dport;
    ret->sequence = ntohl(tcp.th_seq);
    ret->is_fragment = packet.is_fragment;
    ret->head_length = length < sizeof ret->head ? length : sizeof ret->head;
    memcpy(ret->head, bytes, ret->head_length);
    if (packet.is_fragment) {
        ret->length = DATA_MOST;
        return true;
    }
    ret->length = packet.all > header ? packet.all - header : 0;
    return ret->length > 0 && !(tcp.th_flags & TH_SYN);
}

uint64_t segment_content(const struct segment *segment)
{
    uint8_t hash[DIGEST_BYTES];
    uint64_t content;
    digest_sha256(segment->head, segment->head_length, hash);
    memcpy(&content, hash, sizeof content);
    return content;
}

bool segment_find_place(const struct segment *segment, const struct syn *syn,
                        struct segment_place *ret)
{
    uint32_t from = segment->sequence - (ntohl(syn->sequence) + 1);
    uint32_t until = from + segment->length;
    *ret = (struct segment_place){(int32_t)from < 0 ? 0 : from, until};
    return (int32_t)until > 0;
}

static void progress_add_ahead(struct progress *progress, const struct segment_place *place)
{
    struct segment_place *ahead = &progress->ahead;
    bool is_joined = place->from <= ahead->until && place->until >= ahead->from;
    if (!is_joined)
        *ahead = *place;
    if (place->from < ahead->from)
        ahead->from = place->from;
    if (place->until > ahead->until)
        ahead->until = place->until;
}

void progress_add(struct progress *progress, uint64_t content, const struct segment_place *place)
{
    progress->contents[progress->count++ % PROGRESS_CONTENTS] = content;
    if (place->from > progress->until) {
        progress_add_ahead(progress, place);
        return;
    }
    if (place->until > progress->until)
        progress->until = place->until;
    if (progress->ahead.from <= progress->until && progress->ahead.until > progress->until)
        progress->until = progress->ahead.until;
}

void progress_add_other(struct progress *progress, const struct segment_place *place)
{
    if (place->from < progress->other_from)
        progress->other_from = place->from;
}

bool progress_has(const struct progress *progress, uint64_t content)
{
    for (size_t i = 0; i < PROGRESS_CONTENTS && i < progress->count; i++)
        if (progress->contents[i] == content)
            return true;
    return false;
}

bool progress_covers(const struct progress *progress, size_t size)
{
    return size > 0 && progress->until >= size && progress->other_from >= size;
}

bool syn_end_equal(const struct syn_end *a, const struct syn_end *b)
{
    return a->port == b->port && IN6_ARE_ADDR_EQUAL(&a->address, &b->address);
}

static bool syn_is_between(const struct syn *syn, const struct sockaddr *source,
                           const struct sockaddr *destination)
{
    struct syn_end from;
    struct syn_end to;
    syn_end_set(&from, source);
    syn_end_set(&to, destination);
    return syn_end_equal(&syn->source, &from) && syn_end_equal(&syn->destination, &to);
}

static uint16_t ether_type_at(const uint8_t *bytes, size_t at)
{
    return (uint16_t)(bytes[at] << 8 | bytes[at + 1]);
}

/* Returns the length of the Ethernet header, or 0 if the bytes cannot begin with one. */
static size_t ether_header_length(const uint8_t *bytes, size_t length)
{
    size_t at = ETHER_TYPE_AT;
    if (length < ETHER_HDR_LEN + VLAN_TAG_LENGTH)
        return 0;
    if (ether_type_at(bytes, at) == ETHERTYPE_VLAN)
        at += VLAN_TAG_LENGTH;
    uint16_t type = ether_type_at(bytes, at);
    return type == ETHERTYPE_IP || type == ETHERTYPE_IPV6 ? at + ETHER_TYPE_BYTES : 0;
}

bool syn_parse_saved(const uint8_t *bytes, size_t length, const struct sockaddr *source,
                     const struct sockaddr *destination, struct syn *ret)
{
    size_t header = ether_header_length(bytes, length);
    if (header > 0 && syn_parse_packet(bytes + header, length - header, ret) &&
        syn_is_between(ret, source, destination)) {
        ret->has_hwaddr = true;
        memcpy(ret->hwaddr.bytes, bytes + ETHER_ADDR_LEN, sizeof ret->hwaddr.bytes);
        return true;
    }
    return syn_parse_packet(bytes, length, ret) && syn_is_between(ret, source, destination);
}
