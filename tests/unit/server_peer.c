/* SPDX-License-Identifier: Apache-2.0 */
/* Uses the kernel's own table, in a network namespace of this process. */
#include <arpa/inet.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/net/peer.h"
#include "tests/unit/test.h"

static const struct hwaddr untouched = {{1, 2, 3, 4, 5, 6}};

/* Two links, as on a host with two bridges, a route through a router, and neighbours in several
 * states. */
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
    "ip neigh add 10.77.0.2 lladdr bc:24:11:00:00:02 dev felhom0 nud permanent",
    "ip neigh add 10.77.0.3 lladdr bc:24:11:00:00:03 dev felhom0 nud stale",
    "ip neigh add 10.77.0.4 lladdr bc:24:11:00:00:04 dev felhom0 nud reachable",
    "ip neigh add 10.77.0.5 lladdr bc:24:11:00:00:05 dev felhom0 nud noarp",
    "ip neigh add 10.77.0.6 dev felhom0 nud failed",
    "ip neigh add 10.78.0.2 lladdr bc:24:11:00:01:02 dev felhom2 nud permanent",
    "ip neigh add 10.77.0.9 lladdr bc:24:11:00:09:09 dev felhom2 nud permanent",
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

static int find(const char *text, struct hwaddr *ret, struct error *error)
{
    struct in_addr address;
    if (geteuid() != 0)
        skip();
    assert_int_equal(inet_pton(AF_INET, text, &address), 1);
    return peer_find_hwaddr(address, ret, error);
}

static void assert_found(const char *address, const char *expected)
{
    struct error error = {0};
    struct hwaddr found;
    char text[HWADDR_TEXT_SIZE];
    int result = find(address, &found, &error);
    if (result < 0)
        fail_test("%s: %s", address, error.message);
    hwaddr_format(&found, text);
    assert_string_equal(text, expected);
}

static void assert_missing(const char *address, const char *message)
{
    struct error error = {0};
    struct hwaddr found = untouched;
    assert_int_equal(find(address, &found, &error), -1);
    assert_int_equal(error.kind, ERROR_MISSING);
    assert_string_equal(error.message, message);
    assert_memory_equal(&found, &untouched, sizeof(found));
}

static void test_valid_entries(void **state)
{
    (void)state;
    assert_found("10.77.0.2", "BC:24:11:00:00:02");
    assert_found("10.77.0.3", "BC:24:11:00:00:03");
    assert_found("10.77.0.4", "BC:24:11:00:00:04");
}

static void test_each_link_has_its_own(void **state)
{
    (void)state;
    assert_found("10.78.0.2", "BC:24:11:00:01:02");
    assert_missing("10.77.0.9", "the kernel knows no such neighbour");
}

static void test_entries_that_are_no_answer(void **state)
{
    (void)state;
    assert_missing("10.77.0.5", "the neighbour has not answered");
    assert_missing("10.77.0.6", "the neighbour has not answered");
}

static void test_no_entry(void **state)
{
    (void)state;
    assert_missing("10.77.0.200", "the kernel knows no such neighbour");
}

static void test_the_host_itself(void **state)
{
    (void)state;
    assert_missing("127.0.0.1", "the peer is not on a link of this host");
    assert_missing("10.77.0.1", "the peer is not on a link of this host");
    assert_missing("10.78.0.1", "the peer is not on a link of this host");
}

static void test_behind_a_router(void **state)
{
    (void)state;
    assert_missing("10.99.0.5", "the peer is not on a link of this host");
}

static void test_broadcast_and_no_route(void **state)
{
    (void)state;
    assert_missing("10.77.0.255", "the peer is not on a link of this host");
    assert_missing("203.0.113.1", "the kernel knows no such neighbour");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid_entries),
        cmocka_unit_test(test_each_link_has_its_own),
        cmocka_unit_test(test_entries_that_are_no_answer),
        cmocka_unit_test(test_no_entry),
        cmocka_unit_test(test_the_host_itself),
        cmocka_unit_test(test_behind_a_router),
        cmocka_unit_test(test_broadcast_and_no_route),
    };
    return cmocka_run_group_tests(tests, make_network, NULL);
}
