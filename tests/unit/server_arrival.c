/* SPDX-License-Identifier: Apache-2.0 */
/* Against the kernel's own routes and sockets, in a network namespace of this process. */
#include "server/net/arrival.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "tests/unit/test.h"

/* Two links, as a host with two bridges has them, and a route over a router. */
static const char *const network[] = {
    "ip link set lo up",
    "ip link add felhom0 type veth peer name felhom1",
    "ip link set felhom0 up",
    "ip link set felhom1 up",
    "ip addr add 10.77.0.1/24 dev felhom0",
    "ip link add felhom2 type veth peer name felhom3",
    "ip link set felhom2 up",
    "ip link set felhom3 up",
    "ip addr add 10.78.0.1/24 dev felhom2",
    "ip route add 10.99.0.0/24 via 10.77.0.2",
};

static int make_network(void **state)
{
    (void)state;
    if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
        print_message("no network namespace of its own: must be root\n");
        return 0;
    }
    for (size_t i = 0; i < sizeof(network) / sizeof(network[0]); i++) {
        if (system(network[i]) != 0) {
            print_error("failed: %s\n", network[i]);
            return -1;
        }
    }
    return 0;
}

static void assert_routed(const char *text, const char *interface, int expected)
{
    struct error error = {0};
    struct in_addr address;
    const struct arrival arrival = {.interface = *interface ? (int)if_nametoindex(interface) : 0};
    assert_int_equal(inet_pton(AF_INET, text, &address), 1);
    int result = arrival_is_routed(&arrival, address, &error);
    if (result != expected)
        fail_test("%s by %s: %d, not %d: %s", text, interface, result, expected, error.message);
}

static void test_routes(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_routed("10.77.0.2", "felhom0", 0);
    assert_routed("10.77.0.2", "", 0);
    assert_routed("10.78.0.2", "felhom2", 0);
    assert_routed("10.99.0.5", "felhom0", 1);
    assert_routed("10.99.0.5", "", 1);
    /* Without a route the kernel takes the address to be on the link. */
    assert_routed("203.0.113.1", "felhom0", 0);
}

/* A connection over the loopback device; the two ends are the caller's. */
static void connect_here(int listening, int *ret_client, int *ret_server)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &size), 0);
    *ret_client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(*ret_client, (struct sockaddr *)&address, size), 0);
    *ret_server = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    assert_true(*ret_server >= 0);
}

static int listen_here(uint16_t *ret_port)
{
    struct error error;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof any;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(arrival_prepare(fd, &error), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &size), 0);
    *ret_port = ntohs(any.sin_port);
    return fd;
}

static void test_without_a_witness(void **state)
{
    uint16_t port;
    cleanup_close int listening = listen_here(&port);
    cleanup_close int client = -1;
    cleanup_close int server = -1;
    struct arrivals *arrivals = arrivals_new(NULL);
    (void)state;
    connect_here(listening, &client, &server);
    arrivals_note(arrivals, server);
    const struct arrival arrival = arrivals_get(arrivals, server);
    assert_false(arrival.is_witnessed);
    assert_int_equal(arrival.seen.path, WITNESS_HOST);
    assert_int_equal(arrival.interface, if_nametoindex("lo"));
    arrivals_free(arrivals);
}

static void watch(struct witness *witness, uint16_t port)
{
    struct error error;
    struct syn_end end;
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    syn_end_set(&end, (const struct sockaddr *)&any);
    witness_watch(witness, &end, 1);
    assert_int_equal(witness_start(witness, &error), 0);
}

static void test_with_a_witness(void **state)
{
    uint16_t port;
    struct error error;
    struct witness *witness;
    cleanup_close int listening = listen_here(&port);
    cleanup_close int client = -1;
    cleanup_close int server = -1;
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(witness_open(port, &witness, &error), 0);
    struct arrivals *arrivals = arrivals_new(witness);
    watch(witness, port);
    connect_here(listening, &client, &server);
    arrivals_note(arrivals, server);
    assert_true(arrivals_get(arrivals, server).is_witnessed);
    assert_int_equal(arrivals_get(arrivals, server).seen.path, WITNESS_HOST);
    /* Its SYN began one connection. */
    arrivals_note(arrivals, server);
    assert_int_equal(arrivals_get(arrivals, server).seen.path, WITNESS_NONE);
    arrivals_free(arrivals);
    witness_close(witness);
}

/* Others can mark a guest's bytes as urgent: they are read and counted all the same. */
static void test_urgent_bytes(void **state)
{
    uint16_t port;
    char bytes[8] = "";
    cleanup_close int listening = listen_here(&port);
    cleanup_close int client = -1;
    cleanup_close int server = -1;
    size_t count = 0;
    (void)state;
    connect_here(listening, &client, &server);
    assert_int_equal(send(client, "a", 1, MSG_OOB), 1);
    assert_int_equal(send(client, "b", 1, 0), 1);
    assert_int_equal(send(client, "c", 1, MSG_OOB), 1);
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    for (ssize_t more = 1; more > 0; count += (size_t)more)
        more = recv(server, bytes + count, sizeof bytes - 1 - count, 0);
    assert_string_equal(bytes, "abc");
}

static void test_what_was_never_noted(void **state)
{
    struct arrivals *arrivals = arrivals_new(NULL);
    (void)state;
    const struct arrival arrival = arrivals_get(arrivals, 1000);
    assert_true(arrival.is_witnessed);
    assert_int_equal(arrival.seen.path, WITNESS_NONE);
    arrivals_free(arrivals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_without_a_witness),
        cmocka_unit_test(test_with_a_witness),
        cmocka_unit_test(test_urgent_bytes),
        cmocka_unit_test(test_what_was_never_noted),
    };
    return cmocka_run_group_tests(tests, make_network, NULL);
}
