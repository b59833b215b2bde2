/* SPDX-License-Identifier: Apache-2.0 */
/* The witness against the kernel's own bridges, in a network namespace of this process. Each
 * guest's end of its NIC is here, too, so that frames can be sent as no TCP would send them. */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "server/net/device.h"
#include "server/net/witness.h"
#include "tests/unit/test.h"

#define PORT       8443
#define FRAME_MOST 16384

/* Guest 8200 as Proxmox's firewall wires it, 8300 and 8400 without it, and a physical port. The
 * other end of each NIC begins with an n. */
static const char *const network[] = {
    "ip link set lo up",
    "ip link add vmbr0 address 02:00:00:00:00:01 type bridge forward_delay 0",
    "ip link add fwbr8200i0 type bridge forward_delay 0",
    "ip link add veth8200i0 type veth peer name n8200",
    "ip link add fwln8200i0 type veth peer name fwpr8200p0",
    "ip link add veth8300i0 mtu 16000 type veth peer name n8300 mtu 16000",
    "ip link add tap8400i1 type veth peer name n8400",
    "ip link add eno1 type veth peer name nlan",
    "ip link set veth8200i0 master fwbr8200i0",
    "ip link set fwln8200i0 master fwbr8200i0",
    "for port in fwpr8200p0 veth8300i0 tap8400i1 eno1; do ip link set $port master vmbr0; done",
    "ip -o link | sed 's/^[0-9]*: //; s/[@:].*//' | while read -r link; do ip link set $link up; "
    "done",
    /* Until then the kernel throws away what is sent. */
    "for link in n8200 n8300 n8400 nlan; do until ip -o link show $link | grep -q 'state UP'; do "
    "sleep 0.01; done; done",
};

static int make_network(void **state)
{
    (void)state;
    if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
        print_message("no network namespace of its own: must be root\n");
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(network); i++)
        if (system(network[i]) != 0)
            fail_test("failed: %s", network[i]);
    return 0;
}

/* --- frames --- */

struct sent {
    const char *link;
    const char *source; /* the IP addresses */
    const char *destination;
    uint16_t source_port;
    uint16_t port;
    uint32_t sequence;
    uint8_t hwaddr; /* the last byte of the sender's */
    uint8_t flags;
    uint16_t fragment;
    uint8_t options; /* words of IP options */
    uint8_t data;    /* bytes of it */
    uint16_t tags;   /* VLAN tags, all with VLAN 0 */
};

#define SYN_OF(...) ((struct sent){__VA_ARGS__})

/* What a test does not name. */
static struct sent completed(const struct sent *sent)
{
    struct sent all = *sent;
    all.link = sent->link ? sent->link : "n8200";
    all.source = sent->source ? sent->source : "198.51.100.20";
    all.destination = sent->destination ? sent->destination : "198.51.100.1";
    all.source_port = sent->source_port ? sent->source_port : 40000;
    all.port = sent->port ? sent->port : PORT;
    all.flags = sent->flags ? sent->flags : TH_SYN;
    return all;
}

static size_t write_ip(uint8_t *at, const struct sent *sent)
{
    if (strchr(sent->source, ':')) {
        struct ip6_hdr ip = {.ip6_nxt = IPPROTO_TCP,
                             .ip6_hops = 64,
                             .ip6_plen = htons((uint16_t)(sizeof(struct tcphdr) + sent->data))};
        ip.ip6_vfc = 6 << 4;
        assert_int_equal(inet_pton(AF_INET6, sent->source, &ip.ip6_src), 1);
        assert_int_equal(inet_pton(AF_INET6, sent->destination, &ip.ip6_dst), 1);
        memcpy(at, &ip, sizeof ip);
        return sizeof ip;
    }
    size_t length = sizeof(struct ip) + (size_t)sent->options * 4;
    struct ip ip = {.ip_v = 4,
                    .ip_hl = (unsigned int)(length / 4) & 15,
                    .ip_ttl = 64,
                    .ip_p = IPPROTO_TCP,
                    .ip_off = htons(sent->fragment),
                    .ip_len = htons((uint16_t)(length + sizeof(struct tcphdr) + sent->data))};
    assert_int_equal(inet_pton(AF_INET, sent->source, &ip.ip_src), 1);
    assert_int_equal(inet_pton(AF_INET, sent->destination, &ip.ip_dst), 1);
    memset(at, 1, length); /* options of one byte that do nothing */
    memcpy(at, &ip, sizeof ip);
    return length;
}

static size_t write_frame(uint8_t *frame, const struct sent *wanted)
{
    const struct sent all = completed(wanted);
    const struct sent *sent = &all;
    static const uint8_t bridge[ETHER_ADDR_LEN] = {2, 0, 0, 0, 0, 1};
    struct ether_header ether = {
        .ether_shost = {0xbc, 0x24, 0x11, 0, 0, sent->hwaddr},
        .ether_type = htons(strchr(sent->source, ':') ? ETHERTYPE_IPV6 : ETHERTYPE_IP)};
    struct tcphdr tcp = {.th_sport = htons(sent->source_port),
                         .th_dport = htons(sent->port),
                         .th_seq = htonl(sent->sequence),
                         .th_off = 5,
                         .th_flags = sent->flags};
    const uint16_t tag[] = {htons(ETHERTYPE_VLAN), 0};
    const uint16_t type = ether.ether_type;
    memcpy(ether.ether_dhost, bridge, sizeof bridge);
    memcpy(frame, &ether, sizeof ether);
    size_t length = sizeof ether - sizeof type;
    for (uint16_t i = 0; i < sent->tags; i++, length += sizeof tag)
        memcpy(frame + length, tag, sizeof tag);
    memcpy(frame + length, &type, sizeof type);
    length += sizeof type;
    length += write_ip(frame + length, sent);
    memcpy(frame + length, &tcp, sizeof tcp);
    memset(frame + length + sizeof tcp, sent->data, sent->data);
    return length + sizeof tcp + sent->data;
}

/* Bridges and pairs hand frames on within the call, or the kernel's own thread does soon. */
static void send_frame(const struct sent *sent)
{
    uint8_t frame[FRAME_MOST];
    size_t length = write_frame(frame, sent);
    static int fd = -1; /* to close one takes long where other programs are busy */
    if (fd < 0)
        fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
                             .sll_ifindex = (int)if_nametoindex(completed(sent).link),
                             .sll_protocol = htons(ETH_P_IP)};
    assert_int_equal(sendto(fd, frame, length, 0, (struct sockaddr *)&to, sizeof to), length);
}

static struct syn syn_of(const struct sent *sent)
{
    uint8_t frame[FRAME_MOST];
    struct sent untagged = *sent;
    struct syn syn;
    untagged.tags = 0;
    size_t length = write_frame(frame, &untagged);
    assert_true(syn_parse_packet(frame + ETHER_HDR_LEN, length - ETHER_HDR_LEN, &syn));
    syn.has_hwaddr = true;
    memcpy(syn.hwaddr.bytes, frame + ETHER_ADDR_LEN, ETHER_ADDR_LEN);
    return syn;
}

/* --- a witness --- */

/* Without the witness's thread: it sees what has come in when it is asked. */
static struct witness *begin_asleep(void)
{
    struct error error;
    struct witness *witness;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
    struct syn_end ends[3];
    if (geteuid() != 0)
        skip();
    if (witness_open(PORT, &witness, &error) < 0)
        fail_test("%s", error.message);
    assert_int_equal(inet_pton(AF_INET, "198.51.100.1", &v4.sin_addr), 1);
    assert_int_equal(inet_pton(AF_INET6, "fd00::1", &v6.sin6_addr), 1);
    syn_end_set(&ends[0], (struct sockaddr *)&v4);
    syn_end_set(&ends[1], (struct sockaddr *)&v6);
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    syn_end_set(&ends[2], (struct sockaddr *)&v4);
    witness_watch(witness, ends, ARRAY_SIZE(ends));
    return witness;
}

static struct witness *begin(void)
{
    struct error error;
    struct witness *witness = begin_asleep();
    if (witness_start(witness, &error) < 0)
        fail_test("%s", error.message);
    return witness;
}

/* Frames that were sent before this one have come in when it has. */
static void let_pass(struct witness *witness, const char *link)
{
    static uint32_t sequence = 1000000;
    struct sent last = SYN_OF(.link = link, .sequence = ++sequence, .source_port = 9);
    struct syn syn = syn_of(&last);
    send_frame(&last);
    while (witness_find(witness, &syn).path == WITNESS_NONE)
        (void)usleep(1000);
}

static void assert_path(struct witness *witness, const struct sent *sent, enum witness_path path,
                        uint32_t vmid)
{
    struct syn syn = syn_of(sent);
    struct witness_sighting sighting = witness_find(witness, &syn);
    if (sighting.path != path || sighting.vmid != vmid)
        fail_test("%s: path %d, guest %u; not path %d, guest %u", completed(sent).link,
                  sighting.path, sighting.vmid, path, vmid);
}

static void assert_comes_by(const struct sent *sent, enum witness_path path, uint32_t vmid)
{
    struct witness *witness = begin();
    send_frame(sent);
    let_pass(witness, completed(sent).link);
    assert_path(witness, sent, path, vmid);
    witness_close(witness);
}

static void test_ports(void **state)
{
    (void)state;
    assert_comes_by(&SYN_OF(.link = NULL), WITNESS_GUEST, 8200);
    assert_comes_by(&SYN_OF(.link = "n8300"), WITNESS_GUEST, 8300);
    assert_comes_by(&SYN_OF(.link = "n8400"), WITNESS_GUEST, 8400);
    assert_comes_by(&SYN_OF(.link = "nlan"), WITNESS_OUTSIDE, 0);
    assert_comes_by(&SYN_OF(.source = "fd00::20", .destination = "fd00::1"), WITNESS_GUEST, 8200);
    assert_comes_by(&SYN_OF(.link = "n8300", .options = 10), WITNESS_GUEST, 8300);
}

static void test_what_is_no_syn_to_us(void **state)
{
    (void)state;
    assert_comes_by(&SYN_OF(.port = PORT + 1), WITNESS_NONE, 0);
    assert_comes_by(&SYN_OF(.destination = "198.51.100.2"), WITNESS_NONE, 0);
    assert_comes_by(&SYN_OF(.source = "fd00::20", .destination = "fd00::2"), WITNESS_NONE, 0);
}

static void assert_not_noted(uint8_t flags, uint16_t fragment)
{
    struct witness *witness = begin();
    const struct sent right = {.link = NULL};
    struct syn syn = syn_of(&right);
    send_frame(&SYN_OF(.flags = flags, .fragment = fragment));
    let_pass(witness, completed(&right).link);
    assert_int_equal(witness_find(witness, &syn).path, WITNESS_NONE);
    witness_close(witness);
}

static void test_other_segments(void **state)
{
    (void)state;
    assert_not_noted(TH_SYN | TH_ACK, 0);
    assert_not_noted(TH_ACK, 0);
    assert_not_noted(TH_RST, 0);
    assert_not_noted(TH_PUSH, 0);
    assert_not_noted(TH_SYN, 1);
}

/* The SYN of another sender, or with another number, is another one. */
static void test_only_the_very_syn(void **state)
{
    struct witness *witness = begin();
    (void)state;
    send_frame(&SYN_OF(.link = NULL));
    let_pass(witness, "n8200");
    assert_path(witness, &SYN_OF(.sequence = 2), WITNESS_NONE, 0);
    assert_path(witness, &SYN_OF(.hwaddr = 3), WITNESS_NONE, 0);
    assert_path(witness, &SYN_OF(.source = "198.51.100.21"), WITNESS_NONE, 0);
    assert_path(witness, &SYN_OF(.source_port = 40001), WITNESS_NONE, 0);
    assert_path(witness, &SYN_OF(.link = NULL), WITNESS_GUEST, 8200);
    assert_path(witness, &SYN_OF(.link = NULL), WITNESS_NONE, 0);
    witness_close(witness);
}

static void assert_together(const char *first, const char *second, enum witness_path path,
                            uint32_t vmid)
{
    struct witness *witness = begin();
    send_frame(&SYN_OF(.link = first));
    let_pass(witness, first);
    send_frame(&SYN_OF(.link = second));
    let_pass(witness, second);
    assert_path(witness, &SYN_OF(.link = NULL), path, vmid);
    witness_close(witness);
}

/* A guest that could read another's SYN, by a lie told to it, sends the same. */
static void test_copies(void **state)
{
    (void)state;
    assert_together("n8200", "n8300", WITNESS_CONFLICT, 0);
    assert_together("n8300", "n8200", WITNESS_CONFLICT, 0);
    assert_together("n8300", "n8400", WITNESS_CONFLICT, 0);
    assert_together("n8200", "n8200", WITNESS_GUEST, 8200);
    assert_together("nlan", "n8300", WITNESS_GUEST, 8300);
    assert_together("n8300", "nlan", WITNESS_GUEST, 8300);
    assert_together("nlan", "nlan", WITNESS_OUTSIDE, 0);
}

static void test_the_host_itself(void **state)
{
    struct witness *witness = begin();
    struct sockaddr_in own;
    socklen_t size = sizeof own;
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct syn_end source;
    struct syn_end destination;
    (void)state;
    (void)connect(fd, (struct sockaddr *)&to, sizeof to); /* refused: nobody listens */
    assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &size), 0);
    own.sin_addr = to.sin_addr;
    syn_end_set(&source, (struct sockaddr *)&own);
    syn_end_set(&destination, (struct sockaddr *)&to);
    assert_int_equal(witness_find_ends(witness, &source, &destination).path, WITNESS_HOST);
    witness_close(witness);
}

static void test_ends_alone(void **state)
{
    struct witness *witness = begin();
    const struct sent sent = {.link = NULL};
    struct syn syn = syn_of(&sent);
    (void)state;
    send_frame(&sent);
    send_frame(&SYN_OF(.source_port = 40001));
    let_pass(witness, "n8200");
    const struct witness_sighting first = witness_find_ends(witness, &syn.source, &syn.destination);
    assert_int_equal(first.vmid, 8200);
    assert_false(witness_confirm(witness, &first, 1));
    send_frame(&sent);
    send_frame(&SYN_OF(.link = "n8300", .sequence = 2));
    let_pass(witness, "n8200");
    let_pass(witness, "n8300");
    assert_int_equal(witness_find_ends(witness, &syn.source, &syn.destination).path, WITNESS_NONE);
    witness_close(witness);
}

/* Who begins a connection and who goes on with it. size: how much of it was read. */
static void assert_confirmed_of(const char *link, const struct sent *data, size_t count,
                                size_t size, bool wanted)
{
    struct witness *witness = begin();
    const struct sent sent = {.link = link, .sequence = 100};
    struct syn syn = syn_of(&sent);
    send_frame(&sent);
    let_pass(witness, link);
    const struct witness_sighting sighting = witness_find(witness, &syn);
    assert_int_not_equal(sighting.path, WITNESS_NONE);
    for (size_t i = 0; i < count; i++) {
        send_frame(&data[i]);
        let_pass(witness, completed(&data[i]).link);
    }
    if (witness_confirm(witness, &sighting, size) != wanted)
        fail_test("%s: first data by %s at %u with %u bytes", link,
                  count > 0 ? completed(&data[0]).link : "nobody", count > 0 ? data[0].sequence : 0,
                  count > 0 ? data[0].data : 0);
    assert_false(witness_confirm(witness, &sighting, size)); /* once */
    witness_close(witness);
}

static void assert_confirmed(const char *link, const struct sent *data, size_t count, bool wanted)
{
    assert_confirmed_of(link, data, count, 40, wanted);
}

#define FIRST_OF(name) \
    { \
        .link = (name), .flags = TH_ACK | TH_PUSH, .sequence = 101, .data = 40 \
    }

/* The kernel takes packets behind any number of tags; so does the witness, so that nobody can hide
 * one, or keep others from being confirmed by what could be anything. */
static void test_tags(void **state)
{
    const struct sent own = FIRST_OF("n8200");
    const uint16_t tags[] = {1, 2, 3, 8, 16, 30, 60, 250, 3000};
    (void)state;
    assert_comes_by(&SYN_OF(.link = "n8300", .tags = 1), WITNESS_GUEST, 8300);
    assert_comes_by(&SYN_OF(.link = "n8300", .tags = 2), WITNESS_GUEST, 8300);
    assert_comes_by(&SYN_OF(.link = "n8200", .tags = 3), WITNESS_GUEST, 8200);
    for (size_t i = 0; i < ARRAY_SIZE(tags); i++) {
        struct sent hidden = FIRST_OF("n8300");
        struct sent others = FIRST_OF("n8300");
        others.port = 7;
        hidden.tags = tags[i];
        others.tags = tags[i];
        const struct sent before[] = {hidden, own};
        const struct sent after[] = {own, hidden};
        const struct sent to_others[] = {own, others};
        assert_confirmed("n8200", before, 2, false);
        assert_confirmed("n8200", after, 2, false);
        assert_confirmed("n8200", to_others, 2, true);
    }
}

/* Nobody keeps others from being confirmed by a burst of long frames. */
static void test_many_long_frames(void **state)
{
    const struct sent sent = {.link = "n8400", .sequence = 100};
    const struct sent own = FIRST_OF("n8400");
    struct sent other = FIRST_OF("n8300");
    struct witness *witness = begin_asleep();
    struct syn syn = syn_of(&sent);
    (void)state;
    other.port = 7;
    other.tags = 300;
    send_frame(&sent);
    let_pass(witness, "n8400");
    const struct witness_sighting sighting = witness_find(witness, &syn);
    assert_int_equal(sighting.vmid, 8400);
    send_frame(&own);
    let_pass(witness, "n8400");
    for (int i = 0; i < 1500; i++)
        send_frame(&other);
    assert_true(witness_confirm(witness, &sighting, 40));
    assert_int_equal(witness_lost(witness), 0);
    witness_close(witness);
}

static void test_who_goes_on(void **state)
{
    const struct sent own = FIRST_OF("n8200");
    const struct sent other = FIRST_OF("n8300");
    const struct sent outside = FIRST_OF("nlan");
    const struct sent both[] = {own, other};
    const struct sent passed_on[] = {own, outside};
    const struct sent behind_a_firewall = FIRST_OF("n8300");
    const struct sent other_to_8300 = {.flags = TH_ACK, .sequence = 101, .data = 39};
    const struct sent twisted[] = {own, other_to_8300};
    (void)state;
    assert_confirmed("n8200", NULL, 0, false);
    assert_confirmed("n8200", &own, 1, true);
    assert_confirmed("n8200", &other, 1, false);
    assert_confirmed("n8200", &outside, 1, false);
    assert_confirmed("n8200", both, 2, false); /* the same packet, but no guest passes it on */
    assert_confirmed("n8200", passed_on, 2, true);
    assert_confirmed("n8300", &behind_a_firewall, 1, true);
    assert_confirmed("n8300", twisted, 2, false);
    assert_confirmed("nlan", &outside, 1, true);
    assert_confirmed("nlan", &own, 1, false);
}

/* Bytes before the first one are thrown away by the kernel; what comes in fragments has its ports
 * in the first one alone. */
static void test_first_data_in_disguise(void **state)
{
    const struct sent own = FIRST_OF("n8200");
    const struct sent later = {.link = "n8300", .flags = TH_ACK, .sequence = 102, .data = 40};
    const struct sent beyond = {.link = "n8300", .flags = TH_ACK, .sequence = 141, .data = 40};
    const struct sent early = {.link = "n8300", .flags = TH_ACK, .sequence = 71, .data = 40};
    const struct sent too_early = {.link = "n8300", .flags = TH_ACK, .sequence = 61, .data = 40};
    const struct sent fragment = {
        .link = "n8300", .flags = TH_ACK, .sequence = 61, .data = 4, .fragment = IP_MF};
    const struct sent bare = {.link = "n8300", .flags = TH_ACK, .sequence = 101};
    const struct sent options = {
        .link = "n8300", .flags = TH_ACK, .sequence = 101, .data = 1, .options = 10};
    (void)state;
    const struct {
        struct sent sent;
        bool wanted;
    } cases[] = {
        {later, false},    {early, false}, {too_early, true}, {beyond, true},
        {fragment, false}, {bare, true},   {options, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct sent sent[] = {cases[i].sent, own};
        assert_confirmed("n8200", sent, ARRAY_SIZE(sent), cases[i].wanted);
    }
}

#define PART_OF(name, first, count) \
    { \
        .link = (name), .flags = TH_ACK, .sequence = 101 + (first), .data = (count) \
    }

/* Whoever lets the other one say the first bytes alone goes on with the rest. */
static void test_every_byte_counts(void **state)
{
    const struct sent whole[] = {PART_OF("n8200", 0, 40), PART_OF("n8200", 40, 60)};
    const struct sent begun[] = {PART_OF("n8200", 0, 1), PART_OF("n8300", 1, 99)};
    const struct sent finished[] = {PART_OF("n8200", 0, 60), PART_OF("n8300", 60, 40)};
    const struct sent unseen[] = {PART_OF("n8200", 0, 1)};
    const struct sent both[] = {PART_OF("n8300", 1, 99), PART_OF("n8200", 0, 100)};
    const struct sent turned[] = {PART_OF("n8200", 40, 60), PART_OF("n8200", 0, 40)};
    const struct sent again[] = {PART_OF("n8200", 0, 40), PART_OF("n8200", 20, 80)};
    const struct sent gap[] = {PART_OF("n8200", 0, 39), PART_OF("n8200", 40, 60)};
    const struct sent gaps[] = {PART_OF("n8200", 10, 10), PART_OF("n8200", 20, 40),
                                PART_OF("n8200", 60, 40), PART_OF("n8200", 0, 10)};
    struct sent fragment[] = {PART_OF("n8200", 0, 1)};
    (void)state;
    fragment[0].fragment = IP_MF;
    assert_confirmed_of("n8200", whole, 2, 100, true);
    assert_confirmed_of("n8200", whole, 2, 101, false);
    assert_confirmed_of("n8200", begun, 2, 100, false);
    assert_confirmed_of("n8200", finished, 2, 100, false);
    assert_confirmed_of("n8200", unseen, 1, 100, false);
    assert_confirmed_of("n8200", both, 2, 100, false);
    assert_confirmed_of("n8200", turned, 2, 100, true);
    assert_confirmed_of("n8200", again, 2, 100, true);
    assert_confirmed_of("n8200", gap, 2, 100, false);
    assert_confirmed_of("n8200", gaps, 4, 100, true);
    assert_confirmed_of("n8200", fragment, 1, 1, false);
    assert_confirmed_of("n8200", whole, 2, 0, false);
}

/* Whoever sends many forgets but its own. */
static void test_a_flood(void **state)
{
    struct witness *witness = begin();
    (void)state;
    send_frame(&SYN_OF(.link = NULL));
    send_frame(&SYN_OF(.link = "n8300", .sequence = 7));
    for (uint32_t i = 0; i < 5000; i++)
        send_frame(&SYN_OF(.link = "n8300", .sequence = 100 + i, .hwaddr = (uint8_t)i));
    let_pass(witness, "n8200");
    let_pass(witness, "n8300");
    assert_path(witness, &SYN_OF(.link = NULL), WITNESS_GUEST, 8200);
    assert_path(witness, &SYN_OF(.link = "n8300", .sequence = 7), WITNESS_NONE, 0);
    assert_path(witness, &SYN_OF(.link = "n8300", .sequence = 5099, .hwaddr = (uint8_t)4999),
                WITNESS_GUEST, 8300);
    assert_int_equal(witness_lost(witness), 0);
    witness_close(witness);
}

/* --- devices that become others --- */

static void run_command(const char *command)
{
    if (system(command) != 0)
        fail_test("failed: %s", command);
}

/* Sends SYNs by this end of a guest's NIC until one is known to be the guest's. None may be taken
 * for another guest's. */
static void assert_becomes(struct witness *witness, const char *link, uint32_t vmid)
{
    static uint32_t sequence = 2000000;
    for (;;) {
        struct sent sent = SYN_OF(.link = link, .sequence = ++sequence);
        struct syn syn = syn_of(&sent);
        send_frame(&sent);
        struct witness_sighting sighting = {.path = WITNESS_NONE};
        for (int i = 0; i < 100 && sighting.path == WITNESS_NONE; i++) {
            sighting = witness_find(witness, &syn);
            (void)usleep(1000);
        }
        if (sighting.path == WITNESS_GUEST && sighting.vmid == vmid)
            return;
        if (sighting.path != WITNESS_NONE)
            fail_test("%s: path %d, guest %u", link, sighting.path, sighting.vmid);
    }
}

static void await_frames(struct witness *witness)
{
    struct pollfd polled = {.fd = witness_fd(witness), .events = POLLIN};
    assert_int_equal(poll(&polled, 1, -1), 1);
}

#define UNTIL_UP "until ip -o link show n900 | grep -q 'state UP'; do sleep 0.01; done"

/* A port whose number is 900. */
static void make_port(const char *name)
{
    cleanup_free char *command = mem_format(
        "ip link add %s index 900 type veth peer name n900 && ip link set %s master vmbr0 "
        "&& ip link set %s up && ip link set n900 up && " UNTIL_UP,
        name, name, name);
    run_command(command);
}

static void test_a_device_gets_another_name(void **state)
{
    (void)state;
    for (int is_awake = 0; is_awake < 2; is_awake++) {
        struct witness *witness = is_awake ? begin() : begin_asleep();
        make_port("veth8600i0");
        assert_becomes(witness, "n900", 8600);
        run_command("ip link set veth8600i0 down && ip link set veth8600i0 name veth8700i0 && "
                    "ip link set veth8700i0 up && " UNTIL_UP);
        assert_becomes(witness, "n900", 8700);
        run_command("ip link set veth8700i0 down && ip link set veth8700i0 name eno7 && "
                    "ip link set eno7 up && " UNTIL_UP);
        send_frame(&SYN_OF(.link = "n900", .sequence = 5));
        if (!is_awake) /* else the witness's own thread may have read it */
            await_frames(witness);
        struct syn syn = syn_of(&SYN_OF(.link = "n900", .sequence = 5));
        assert_int_equal(witness_find(witness, &syn).vmid, 0);
        run_command("ip link del eno7");
        witness_close(witness);
    }
}

static void test_a_number_is_given_again(void **state)
{
    const struct sent first = {.link = "n900", .sequence = 7};
    (void)state;
    for (int is_awake = 0; is_awake < 2; is_awake++) {
        struct witness *witness = is_awake ? begin() : begin_asleep();
        struct syn syn = syn_of(&first);
        make_port("veth8600i0");
        assert_becomes(witness, "n900", 8600);
        run_command("ip link del veth8600i0");
        make_port("veth8700i0");
        assert_becomes(witness, "n900", 8700);
        run_command("ip link del veth8700i0");
        make_port("veth8600i0");
        /* Nobody has seen this one's name: what it sent is not its successor's. */
        send_frame(&first);
        if (!is_awake)
            await_frames(witness);
        run_command("ip link del veth8600i0");
        make_port("veth8700i0");
        assert_int_not_equal(witness_find(witness, &syn).vmid, 8700);
        assert_becomes(witness, "n900", 8700);
        run_command("ip link del veth8700i0");
        witness_close(witness);
    }
}

/* 8600 has begun, and is gone; whoever has its number now goes on. */
static void test_a_successor_goes_on(void **state)
{
    const struct sent sent = {.link = "n900", .sequence = 100};
    const struct sent data = {
        .link = "n900", .flags = TH_ACK | TH_PUSH, .sequence = 101, .data = 40};
    (void)state;
    for (int is_new = 0; is_new < 2; is_new++) {
        struct witness *witness = begin_asleep();
        struct syn syn = syn_of(&sent);
        make_port("veth8600i0");
        send_frame(&sent);
        await_frames(witness);
        const struct witness_sighting sighting = witness_find(witness, &syn);
        assert_int_equal(sighting.vmid, 8600);
        if (is_new) {
            run_command("ip link del veth8600i0");
            make_port("veth8700i0");
        }
        send_frame(&data);
        await_frames(witness);
        assert_int_equal(witness_confirm(witness, &sighting, 40), !is_new);
        run_command(is_new ? "ip link del veth8700i0" : "ip link del veth8600i0");
        witness_close(witness);
    }
}

/* --- frames that are lost --- */

/* 8200 has sent all, which the host may have thrown away; what 8300 has sent in its place was
 * lost. */
static void test_lost_frames(void **state)
{
    const struct sent sent = {.link = "n8400", .sequence = 100};
    const struct sent next = {.link = "n8400", .sequence = 200};
    const struct sent own = {.link = "n8400", .flags = TH_ACK, .sequence = 101, .data = 40};
    const struct sent next_own = {.link = "n8400", .flags = TH_ACK, .sequence = 201, .data = 40};
    struct witness *witness = begin_asleep();
    struct syn syn = syn_of(&sent);
    (void)state;
    send_frame(&sent);
    let_pass(witness, "n8400");
    struct witness_sighting sighting = witness_find(witness, &syn);
    assert_int_equal(sighting.vmid, 8400);
    send_frame(&own);
    let_pass(witness, "n8400");
    for (uint32_t i = 0; i < 5000; i++)
        send_frame(&SYN_OF(.link = "n8400", .sequence = 300 + i));
    assert_false(witness_confirm(witness, &sighting, 40));
    assert_true(witness_lost(witness) > 0);

    /* Connections that begin after that are no worse off. */
    let_pass(witness, "n8400");
    syn = syn_of(&next);
    send_frame(&next);
    let_pass(witness, "n8400");
    sighting = witness_find(witness, &syn);
    send_frame(&next_own);
    let_pass(witness, "n8400");
    assert_true(witness_confirm(witness, &sighting, 40));
    witness_close(witness);
}

static void test_names_of_ports(void **state)
{
    static const struct {
        const char *name;
        uint32_t vmid; /* 0: no port of a guest */
    } cases[] = {
        {"veth8200i0", 8200},
        {"tap100i31", 100},
        {"fwpr999999999p0", 999999999},
        {"veth8200", 0},
        {"veth8200i", 0},
        {"veth8200ix", 0},
        {"vethi0", 0},
        {"veth99i0", 0},
        {"veth1000000000i0", 0},
        {"veth08200i0", 0},
        {"fwpr8200i0", 0},
        {"tap8200p0", 0},
        {"fwln8200i0", 0},
        {"fwbr8200i0", 0},
        {"vmbr0", 0},
        {"eno1", 0},
        {"xveth8200i0", 0},
        {"veth8200i0.20", 0},
        {"", 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint32_t vmid = 0;
        bool is_port = device_port_owner(cases[i].name, &vmid);
        if (is_port != (cases[i].vmid != 0) || (is_port && vmid != cases[i].vmid))
            fail_test("%s: %d, guest %u", cases[i].name, is_port, vmid);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_ports),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_what_is_no_syn_to_us),
        cmocka_unit_test(test_other_segments),
        cmocka_unit_test(test_only_the_very_syn),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_the_host_itself),
        cmocka_unit_test(test_ends_alone),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_many_long_frames),
        cmocka_unit_test(test_who_goes_on),
        cmocka_unit_test(test_first_data_in_disguise),
        cmocka_unit_test(test_every_byte_counts),
        cmocka_unit_test(test_a_flood),
        cmocka_unit_test(test_a_device_gets_another_name),
        cmocka_unit_test(test_a_number_is_given_again),
        cmocka_unit_test(test_a_successor_goes_on),
        cmocka_unit_test(test_lost_frames),
    };
    return cmocka_run_group_tests(tests, make_network, NULL);
}
