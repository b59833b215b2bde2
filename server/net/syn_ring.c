/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/syn_ring.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

/* A frame holds a SYN with all its headers and options. 4000 SYNs a second that pass four devices
 * each fill the ring in a quarter of a second; the memory counts as felhomd's own. */
#define FRAME_SIZE  256u
#define BLOCK_SIZE  (1u << 16)
#define BLOCK_COUNT (SYN_RING_FRAMES / (BLOCK_SIZE / FRAME_SIZE))
#define RING_SIZE   ((size_t)BLOCK_SIZE * BLOCK_COUNT)
#define SNAP_LENGTH 160u

#define VLAN_TAG_LENGTH 4u
#define HEADERS_MOST    80u /* those of IPv4 and the beginning of TCP's */

/* Of a frame that is too long for the ring: no device has longer ones. And room for as many of the
 * usual length as the ring has frames. */
#define COPY_MOST   (1u << 20)
#define COPIES_SIZE (8 << 20)

#define LOOK_OVER_LEAST 16
#define LOOK_OVER_MOST  512

/* Where in a frame the kernel writes which device it came from. */
#define SOURCE_AT \
    ((sizeof(struct tpacket2_hdr) + TPACKET_ALIGNMENT - 1) / TPACKET_ALIGNMENT * TPACKET_ALIGNMENT)

/* A load from the packet, wherever the device's own header ends. */
#define PACKET(at)            ((uint32_t)(SKF_NET_OFF + (at)))
#define ETHER_TYPE            ((uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL))
#define IF(test, value, t, f) BPF_JUMP(BPF_JMP | (test) | BPF_K, (value), (t), (f))

#define IF_MORE_THAN_X(t, f) BPF_JUMP(BPF_JMP | BPF_JGT | BPF_X, 0, (t), (f))

/* The kernel looks past any number of VLAN tags with VLAN 0 (IEEE 802.1p), but shows packet sockets
 * the packet behind the first one alone. Such frames are taken whole, as their headers can lie
 * anywhere; nobody sends them but to hide something. */
#define VLAN_ID 0x0fff
#define WHOLE   0xffffu

/* Takes of TCP over IPv4 or IPv6 to the port: SYNs without ACK, packets with data, and the first
 * fragments of packets; and all that has a further tag with VLAN 0. The jumps count from the next
 * instruction. */
#define FILTER_OF(port) \
    { \
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ETHER_TYPE), IF(BPF_JEQ, ETH_P_8021Q, 1, 0), \
            IF(BPF_JEQ, ETH_P_8021AD, 0, 2), \
            BPF_STMT(BPF_LD | BPF_H | BPF_ABS, PACKET(0)), /* the further tag */ \
            IF(BPF_JSET, VLAN_ID, 39, 40), IF(BPF_JEQ, ETHERTYPE_IPV6, 23, 0), \
            IF(BPF_JEQ, ETHERTYPE_IP, 0, 37), \
            BPF_STMT(BPF_LD | BPF_B | BPF_ABS, PACKET(9)), /* IPv4: the protocol */ \
            IF(BPF_JEQ, IPPROTO_TCP, 0, 35), \
            BPF_STMT(BPF_LD | BPF_H | BPF_ABS, PACKET(6)), /* the fragment's offset */ \
            IF(BPF_JSET, 0x1fff, 33, 0), \
            BPF_STMT(BPF_LD | BPF_B | BPF_ABS, PACKET(0)), /* the header's length */ \
            BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 15), BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 2), \
            BPF_STMT(BPF_MISC | BPF_TAX, 0), \
            BPF_STMT(BPF_LD | BPF_H | BPF_IND, PACKET(2)), /* the destination port */ \
            IF(BPF_JEQ, (port), 0, 27), \
            BPF_STMT(BPF_LD | BPF_H | BPF_ABS, PACKET(6)), /* more fragments: taken */ \
            IF(BPF_JSET, 0x2000, 24, 0), \
            BPF_STMT(BPF_LD | BPF_B | BPF_IND, PACKET(13)), /* the flags */ \
            IF(BPF_JSET, TH_SYN, 21, 0), \
            BPF_STMT(BPF_LD | BPF_B | BPF_IND, PACKET(12)), /* TCP's header's length */ \
            BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4), BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 2), \
            BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0), BPF_STMT(BPF_MISC | BPF_TAX, 0), \
            BPF_STMT(BPF_LD | BPF_H | BPF_ABS, PACKET(2)), /* the whole length; 0: more */ \
            IF_MORE_THAN_X(15, 0), IF(BPF_JEQ, 0, 14, 15), \
            BPF_STMT(BPF_LD | BPF_B | BPF_ABS, PACKET(6)), /* IPv6: the next header */ \
            IF(BPF_JEQ, IPPROTO_TCP, 0, 13), BPF_STMT(BPF_LDX | BPF_W | BPF_IMM, 40), \
            BPF_STMT(BPF_LD | BPF_H | BPF_IND, PACKET(2)), /* the destination port */ \
            IF(BPF_JEQ, (port), 0, 10), \
            BPF_STMT(BPF_LD | BPF_B | BPF_IND, PACKET(13)), /* the flags */ \
            IF(BPF_JSET, TH_SYN, 6, 0), \
            BPF_STMT(BPF_LD | BPF_B | BPF_IND, PACKET(12)), /* TCP's header's length */ \
            BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4), BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 2), \
            BPF_STMT(BPF_MISC | BPF_TAX, 0), \
            BPF_STMT(BPF_LD | BPF_H | BPF_ABS, PACKET(4)), /* the length without IPv6's header */ \
            IF_MORE_THAN_X(1, 2), IF(BPF_JSET, TH_ACK, 1, 0), /* both, of the flags: a SYN */ \
            BPF_STMT(BPF_RET | BPF_K, SNAP_LENGTH), BPF_STMT(BPF_RET | BPF_K, 0), \
            BPF_STMT(BPF_RET | BPF_K, WHOLE), \
    }
#define FILTER_LENGTH 46

static int ring_set_filter(int fd, uint16_t port)
{
    struct sock_filter filter[FILTER_LENGTH] = FILTER_OF(port);
    const struct sock_fprog program = {FILTER_LENGTH, filter};
    const int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0)
        return -1;
    return setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on);
}

/* The kernel takes and returns numbers of instructions here. */
static bool ring_has_filter(int fd, uint16_t port)
{
    const struct sock_filter wanted[FILTER_LENGTH] = FILTER_OF(port);
    struct sock_filter filter[FILTER_LENGTH];
    socklen_t count = FILTER_LENGTH;
    return getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, filter, &count) == 0 &&
           count == FILTER_LENGTH && memcmp(filter, wanted, sizeof wanted) == 0;
}

static int ring_map(struct syn_ring *ring)
{
    void *mapped = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
    if (mapped == MAP_FAILED)
        return -1;
    ring->memory = mapped;
    return 0;
}

/* Without CAP_NET_ADMIN the kernel grants less. */
static void ring_make_room_for_copies(int fd)
{
    const int size = COPIES_SIZE;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

/* The socket sees nothing before it is bound, so nothing comes in unfiltered. PACKET_COPY_THRESH:
 * what is too long for a frame of the ring lies in the socket's queue as well, whole. */
static int ring_set_up(struct syn_ring *ring, uint16_t port)
{
    const int on = 1;
    const int version = TPACKET_V2;
    const struct tpacket_req request = {BLOCK_SIZE, BLOCK_COUNT, FRAME_SIZE, SYN_RING_FRAMES};
    const struct sockaddr_ll all = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    if (ring_set_filter(ring->fd, port) < 0 ||
        setsockopt(ring->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) < 0 ||
        setsockopt(ring->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) < 0 ||
        setsockopt(ring->fd, SOL_PACKET, PACKET_COPY_THRESH, &on, sizeof on) < 0 ||
        setsockopt(ring->fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request) < 0 ||
        ring_map(ring) < 0)
        return -1;
    ring_make_room_for_copies(ring->fd);
    return bind(ring->fd, (const struct sockaddr *)&all, sizeof all);
}

/* Each CPU can be filling one frame; a kernel whose CPUs leave off in between, a few more. */
static uint32_t look_over_count(void)
{
    long count = 2 * sysconf(_SC_NPROCESSORS_CONF);
    if (count < LOOK_OVER_LEAST)
        return LOOK_OVER_LEAST;
    return count < LOOK_OVER_MOST ? (uint32_t)count : LOOK_OVER_MOST;
}

int syn_ring_open(struct syn_ring *ring, uint16_t port, struct error *error)
{
    *ring = (struct syn_ring){.is_end_known = true, .look_over = look_over_count()};
    ring->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (ring->fd >= 0 && ring_set_up(ring, port) == 0)
        return 0;
    int errnum = errno;
    syn_ring_close(ring);
    (void)fail_errno(error, errnum, "cannot see through which device connections come in");
    /* What a sandbox answers. */
    if (errnum == EPERM || errnum == EACCES || errnum == EAFNOSUPPORT)
        error->kind = ERROR_DENIED;
    return -1;
}

bool syn_ring_adopt(struct syn_ring *ring, int fd, uint16_t port)
{
    struct syn_ring adopted = {.fd = fd, .has_old_copies = true, .look_over = look_over_count()};
    if (!ring_has_filter(fd, port) || ring_map(&adopted) < 0)
        return false;
    *ring = adopted;
    return true;
}

void syn_ring_close(struct syn_ring *ring)
{
    if (ring->memory)
        (void)munmap(ring->memory, RING_SIZE);
    cleanup_close_fn(&ring->fd);
    *ring = (struct syn_ring){.fd = -1};
}

static struct tpacket2_hdr *frame_at(const struct syn_ring *ring, uint64_t number)
{
    return (void *)(ring->memory + (size_t)(number % SYN_RING_FRAMES) * FRAME_SIZE);
}

static bool frame_is_full(const struct syn_ring *ring, uint64_t number)
{
    return __atomic_load_n(&frame_at(ring, number)->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER;
}

static void gaps_add(struct syn_ring *ring, uint64_t from, uint64_t until)
{
    for (uint64_t number = from; number < until; number++)
        if (ring->gap_count < SYN_RING_GAPS)
            ring->gaps[ring->gap_count++] = number;
        else
            ring->lost++;
}

static void gap_remove(struct syn_ring *ring, uint32_t index)
{
    ring->gap_count--;
    memmove(&ring->gaps[index], &ring->gaps[index + 1],
            (ring->gap_count - index) * sizeof ring->gaps[0]);
}

/*
 * Where the process before us stopped reading is not written anywhere. The frames that are full
 * follow each other, but for gaps: they begin after the longest stretch of others. Those just
 * before may be gaps.
 */
static bool ring_find_end(struct syn_ring *ring)
{
    uint32_t empty = 0;
    uint32_t longest = 0;
    bool any = false;
    for (uint64_t i = 0; i < 2 * (uint64_t)SYN_RING_FRAMES; i++) {
        if (!frame_is_full(ring, i)) {
            empty++;
            continue;
        }
        if (!any || empty > longest) {
            longest = empty;
            ring->begin = SYN_RING_FRAMES + i % SYN_RING_FRAMES;
        }
        any = true;
        empty = 0;
    }
    if (!any)
        return false;
    ring->end = ring->begin;
    gaps_add(ring, ring->end - (longest < ring->look_over ? longest : ring->look_over), ring->end);
    ring->is_end_known = true;
    return true;
}

/* Returns true and the first full frame among the gaps and those from the end on, before limit. */
static bool ring_find_full(const struct syn_ring *ring, uint64_t limit, uint64_t *ret)
{
    for (uint32_t i = 0; i < ring->gap_count && ring->gaps[i] < limit; i++)
        if (frame_is_full(ring, ring->gaps[i])) {
            *ret = ring->gaps[i];
            return true;
        }
    for (uint64_t number = ring->end; number < limit; number++)
        if (frame_is_full(ring, number)) {
            *ret = number;
            return true;
        }
    return false;
}

/* An earlier one may have become full while later ones were looked at. */
static bool ring_find_next(const struct syn_ring *ring, uint64_t *ret)
{
    if (!ring_find_full(ring, ring->end + ring->look_over, ret))
        return false;
    while (ring_find_full(ring, *ret, ret))
        continue;
    return true;
}

static void ring_mark_read(struct syn_ring *ring, uint64_t number)
{
    if (number >= ring->end) {
        gaps_add(ring, ring->end, number);
        ring->end = number + 1;
        return;
    }
    for (uint32_t i = 0; i < ring->gap_count; i++)
        if (ring->gaps[i] == number) {
            gap_remove(ring, i);
            return;
        }
}

/* The kernel does not go beyond a frame that is being filled: one that the next round reaches was
 * none. */
static void ring_drop_false_gaps(struct syn_ring *ring)
{
    while (ring->gap_count > 0 &&
           ring->gaps[0] + SYN_RING_FRAMES <= ring->end + 2 * (uint64_t)ring->look_over) {
        ring->lost += ring->gaps[0] >= ring->begin;
        gap_remove(ring, 0);
    }
}

/* What is behind an Ethernet header and, perhaps, VLAN tags. */
struct packet {
    const uint8_t *bytes;
    size_t length;
    uint16_t type;
    bool is_tagged;
};

static void packet_skip_tags(struct packet *packet)
{
    while (packet->type == ETH_P_8021Q || packet->type == ETH_P_8021AD) {
        packet->is_tagged = true;
        if (packet->length < VLAN_TAG_LENGTH)
            return;
        packet->type = (uint16_t)(packet->bytes[2] << 8 | packet->bytes[3]);
        packet->bytes += VLAN_TAG_LENGTH;
        packet->length -= VLAN_TAG_LENGTH;
    }
}

static enum seen_kind packet_parse(const struct packet *packet, struct syn_seen *ret)
{
    if (packet->type != ETHERTYPE_IP && packet->type != ETHERTYPE_IPV6)
        return SEEN_OTHER;
    if (syn_parse_packet(packet->bytes, packet->length, &ret->syn))
        return SEEN_SYN;
    return segment_parse(packet->bytes, packet->length, &ret->segment) ? SEEN_SEGMENT : SEEN_OTHER;
}

/* Parses what is behind an Ethernet header of that length. Of what is cut off nobody knows what it
 * is: it counts as lost. */
static void bytes_parse(struct syn_ring *ring, const struct packet *whole, bool is_cut,
                        struct syn_seen *ret)
{
    struct packet packet = *whole;
    packet_skip_tags(&packet);
    if (packet.is_tagged && packet.length < HEADERS_MOST && is_cut)
        ring->lost++;
    else
        ret->kind = packet_parse(&packet, ret);
}

/* Returns how many bytes of the frame's copy in the socket's queue it has read; 0 if there is none.
 * Copies of frames that were read earlier come before it, if any. */
static size_t copy_read(const struct syn_ring *ring, const struct tpacket2_hdr *frame,
                        uint8_t *copy, size_t size)
{
    const uint8_t *beginning = (const uint8_t *)frame + frame->tp_mac;
    size_t length;
    do {
        ssize_t got = recv(ring->fd, copy, size, MSG_DONTWAIT);
        if (got <= 0)
            return 0;
        length = (size_t)got;
    } while (length < frame->tp_snaplen || memcmp(copy, beginning, frame->tp_snaplen) != 0);
    return length;
}

static void copy_parse(struct syn_ring *ring, const struct tpacket2_hdr *frame,
                       const struct packet *beginning, struct syn_seen *ret)
{
    size_t size = frame->tp_len < COPY_MOST ? frame->tp_len : COPY_MOST;
    cleanup_free uint8_t *copy = mem_new_array(size, 1);
    size_t length = copy_read(ring, frame, copy, size);
    uint32_t before_packet = (uint32_t)(frame->tp_net - frame->tp_mac);
    struct packet packet = {.bytes = copy + before_packet, .type = beginning->type};
    if (length == 0) {
        ring->lost++;
        return;
    }
    packet.length = length - before_packet;
    bytes_parse(ring, &packet, length < frame->tp_len, ret);
}

static void frame_parse(struct syn_ring *ring, const struct tpacket2_hdr *frame,
                        struct syn_seen *ret)
{
    const uint8_t *bytes = (const uint8_t *)frame;
    const struct sockaddr_ll *from = (const void *)(bytes + SOURCE_AT);
    uint32_t before_packet = (uint32_t)(frame->tp_net - frame->tp_mac);
    ret->kind = SEEN_OTHER;
    ret->device = from->sll_ifindex;
    if (frame->tp_snaplen < before_packet)
        return;
    const struct packet packet = {.bytes = bytes + frame->tp_net,
                                  .length = frame->tp_snaplen - before_packet,
                                  .type = ntohs(from->sll_protocol)};
    if (frame->tp_status & TP_STATUS_COPY)
        copy_parse(ring, frame, &packet, ret);
    else
        bytes_parse(ring, &packet, frame->tp_snaplen < frame->tp_len, ret);
    if (before_packet >= ETHER_HDR_LEN) {
        ret->syn.has_hwaddr = true;
        memcpy(ret->syn.hwaddr.bytes, bytes + frame->tp_mac + ETHER_ADDR_LEN, ETHER_ADDR_LEN);
    }
}

/* A process that ended in between has left the copy of a frame that it has read. */
static void drop_old_copies(struct syn_ring *ring)
{
    uint8_t ignored;
    while (ring->has_old_copies && recv(ring->fd, &ignored, sizeof ignored, MSG_DONTWAIT) >= 0)
        continue;
    ring->has_old_copies = false;
}

bool syn_ring_next(struct syn_ring *ring, struct syn_seen *ret)
{
    uint64_t number;
    if ((!ring->is_end_known && !ring_find_end(ring)) || !ring_find_next(ring, &number)) {
        drop_old_copies(ring);
        return false;
    }
    struct tpacket2_hdr *frame = frame_at(ring, number);
    ring->is_losing |= (frame->tp_status & TP_STATUS_LOSING) != 0;
    frame_parse(ring, frame, ret);
    __atomic_store_n(&frame->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    ring_mark_read(ring, number);
    ring_drop_false_gaps(ring);
    return true;
}

/* The kernel counts anew after each answer. */
uint64_t syn_ring_lost(struct syn_ring *ring)
{
    struct tpacket_stats statistics = {0};
    socklen_t size = sizeof statistics;
    if (getsockopt(ring->fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &size) == 0)
        ring->lost += statistics.tp_drops;
    ring->is_losing = false;
    return ring->lost;
}
