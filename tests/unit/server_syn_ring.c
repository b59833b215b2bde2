/* SPDX-License-Identifier: Apache-2.0 */
/* The ring as it goes from one process to the next, in a network namespace of this process. SYNs
 * come over the loopback device, to a port where nobody listens. */
#include "server/net/syn_ring.h"

#include <arpa/inet.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "tests/unit/test.h"

#define PORT 8443

static int make_network(void **state)
{
    (void)state;
    if (geteuid() == 0 && unshare(CLONE_NEWNET) == 0)
        return system("ip link set lo up") == 0 ? 0 : -1;
    print_message("no network namespace of its own: must be root\n");
    return 0;
}

static struct syn_ring open_ring(void)
{
    struct error error;
    struct syn_ring ring;
    if (geteuid() != 0)
        skip();
    if (syn_ring_open(&ring, PORT, &error) < 0)
        fail_test("%s", error.message);
    return ring;
}

/* The loopback device hands the SYN on within the call, which nobody answers but by a reset. */
static void send_syn(uint16_t from)
{
    const int on = 1;
    struct sockaddr_in source = {
        .sin_family = AF_INET, .sin_port = htons(from), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in destination = source;
    destination.sin_port = htons(PORT);
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&source, sizeof source), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&destination, sizeof destination), -1);
}

static void assert_next(struct syn_ring *ring, uint16_t from)
{
    struct syn_seen seen;
    assert_true(syn_ring_next(ring, &seen));
    assert_int_equal(ntohs(seen.syn.source.port), from);
}

static void assert_none(struct syn_ring *ring)
{
    struct syn_seen seen;
    assert_false(syn_ring_next(ring, &seen));
}

static void test_syns_come_in_order(void **state)
{
    (void)state;
    struct syn_ring ring = open_ring();
    assert_none(&ring);
    for (uint16_t port = 2000; port < 2010; port++)
        send_syn(port);
    for (uint16_t port = 2000; port < 2010; port++)
        assert_next(&ring, port);
    assert_none(&ring);
    syn_ring_close(&ring);
}

/* The first process has read some, and is gone; what has come in since is read by the second, again
 * and again, round the ring. */
static void test_another_process_goes_on(void **state)
{
    uint16_t sent = 10000;
    uint16_t read = 10000;
    (void)state;
    struct syn_ring ring = open_ring();
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < 40; i++)
            send_syn(sent++);
        while (read < sent - round % 40)
            assert_next(&ring, read++);
        struct syn_ring next;
        int kept = dup(ring.fd);
        syn_ring_close(&ring);
        assert_true(syn_ring_adopt(&next, kept, PORT));
        ring = next;
    }
    while (read < sent)
        assert_next(&ring, read++);
    assert_none(&ring);
    assert_int_equal(syn_ring_lost(&ring), 0);
    syn_ring_close(&ring);
}

static void test_only_the_very_socket_is_adopted(void **state)
{
    (void)state;
    struct syn_ring other = open_ring();
    struct syn_ring ring;
    cleanup_close int stream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cleanup_close int packets = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    assert_false(syn_ring_adopt(&ring, other.fd, PORT + 1));
    assert_false(syn_ring_adopt(&ring, stream, PORT));
    assert_false(syn_ring_adopt(&ring, packets, PORT));
    assert_false(syn_ring_adopt(&ring, STDIN_FILENO, PORT));
    syn_ring_close(&other);
}

/* Neither root nor whoever takes felhomd over can make the socket see more. */
static void test_the_filter_is_locked(void **state)
{
    const int off = 0;
    (void)state;
    struct syn_ring ring = open_ring();
    assert_int_equal(setsockopt(ring.fd, SOL_SOCKET, SO_DETACH_FILTER, &off, sizeof off), -1);
    assert_int_equal(setsockopt(ring.fd, SOL_SOCKET, SO_LOCK_FILTER, &off, sizeof off), -1);
    syn_ring_close(&ring);
}

/* More than the ring holds: the rest is counted, and what comes after is seen again. */
static void test_too_many(void **state)
{
    struct syn_seen seen;
    uint64_t count = 0;
    (void)state;
    struct syn_ring ring = open_ring();
    for (uint32_t i = 0; i < 5000; i++)
        send_syn((uint16_t)(10000 + i));
    while (syn_ring_next(&ring, &seen))
        count++;
    assert_true(count < 5000);
    assert_int_equal(count + syn_ring_lost(&ring), 5000);
    send_syn(9000);
    assert_next(&ring, 9000);
    syn_ring_close(&ring);
}

/* As the kernel marks them: whether the frame can be read. */
static uint32_t *mark_of(struct syn_ring *ring, uint32_t frame)
{
    return (uint32_t *)(void *)(ring->memory + (size_t)frame % SYN_RING_FRAMES * 256);
}

/* Another CPU is still filling a frame: those after it are read, it itself once it is full. */
static void test_a_frame_that_is_being_filled(void **state)
{
    (void)state;
    struct syn_ring ring = open_ring();
    ring.look_over = 3;
    for (uint16_t port = 2000; port < 2008; port++)
        send_syn(port);
    uint32_t full = *mark_of(&ring, 2);
    *mark_of(&ring, 2) = *mark_of(&ring, 4) = *mark_of(&ring, 5) = 0;
    assert_next(&ring, 2000);
    assert_next(&ring, 2001);
    assert_next(&ring, 2003);
    assert_next(&ring, 2006);
    *mark_of(&ring, 4) = full;
    assert_next(&ring, 2004);
    *mark_of(&ring, 2) = full;
    assert_next(&ring, 2002);
    assert_next(&ring, 2007);
    assert_none(&ring);
    *mark_of(&ring, 5) = full;
    assert_next(&ring, 2005);
    send_syn(2008);
    assert_next(&ring, 2008);
    assert_none(&ring);
    syn_ring_close(&ring);
}

/* It was being filled when one process went and the next one came. */
static void test_it_is_filled_for_the_next_process(void **state)
{
    struct syn_ring next;
    (void)state;
    struct syn_ring ring = open_ring();
    ring.look_over = 3;
    for (uint16_t port = 2000; port < 2006; port++)
        send_syn(port);
    uint32_t full = *mark_of(&ring, 3);
    assert_next(&ring, 2000);
    *mark_of(&ring, 1) = *mark_of(&ring, 3) = 0;
    assert_next(&ring, 2002);
    int kept = dup(ring.fd);
    syn_ring_close(&ring);
    assert_true(syn_ring_adopt(&next, kept, PORT));
    next.look_over = 3;
    assert_next(&next, 2004);
    *mark_of(&next, 1) = *mark_of(&next, 3) = full;
    assert_next(&next, 2001);
    assert_next(&next, 2003);
    assert_next(&next, 2005);
    assert_none(&next);
    for (uint32_t i = 0; i < 3 * SYN_RING_FRAMES; i++) {
        send_syn((uint16_t)(10000 + i));
        assert_next(&next, (uint16_t)(10000 + i));
    }
    assert_none(&next);
    assert_int_equal(next.gap_count, 0);
    assert_int_equal(syn_ring_lost(&next), 0);
    syn_ring_close(&next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_syns_come_in_order),
        cmocka_unit_test(test_another_process_goes_on),
        cmocka_unit_test(test_only_the_very_socket_is_adopted),
        cmocka_unit_test(test_the_filter_is_locked),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_a_frame_that_is_being_filled),
        cmocka_unit_test(test_it_is_filled_for_the_next_process),
    };
    return cmocka_run_group_tests(tests, make_network, NULL);
}
